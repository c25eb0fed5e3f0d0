package decision

import (
	"encoding/hex"
	"errors"
	"strings"
)

// ErrMAC says that a string is no 48-bit hardware address.
var ErrMAC = errors.New("not a MAC address: spell it 00:11:22:aa:bb:cc, 00-11-22-AA-BB-CC, 0011.22aa.bbcc or 001122aabbcc")

// ParseMAC reads a hardware address in one of the usual spellings.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	digits, ok := macDigits(s)
	if !ok {
		return MAC{}, ErrMAC
	}
	if _, err := hex.Decode(m[:], []byte(digits)); err != nil {
		return MAC{}, ErrMAC
	}
	return m, nil
}

func macDigits(s string) (string, bool) {
	switch len(s) {
	case 12:
		return s, true
	case 14:
		return s[0:4] + s[5:9] + s[10:14], s[4] == '.' && s[9] == '.'
	case 17:
		sep := s[2:3]
		digits := strings.ReplaceAll(s, sep, "")
		regular := s[5:6] == sep && s[8:9] == sep && s[11:12] == sep && s[14:15] == sep
		return digits, (sep == ":" || sep == "-") && regular && len(digits) == 12
	}
	return "", false
}

// String spells the address 00:11:22:aa:bb:cc; empty when there is none.
func (m MAC) String() string {
	if m.IsZero() {
		return ""
	}
	var b strings.Builder
	for i, octet := range m {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(hex.EncodeToString([]byte{octet}))
	}
	return b.String()
}

package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// MediaType is that of records in transit and in a spool: a CBOR sequence (RFC 8742) of maps with integer keys.
const MediaType = "application/cbor-seq"

// MaxRecordBytes bounds an encoded record, MaxBatch the records of one request.
const (
	MaxRecordBytes = 8 << 10
	MaxBatch       = 1000
)

// ErrMalformed says that bytes are no sequence of records.
var ErrMalformed = errors.New("not a sequence of records")

var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 4, MaxMapPairs: 64, MaxArrayElements: 64, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}()

// Append encodes a record behind what b holds.
func Append(b []byte, r *Record) ([]byte, error) {
	buffer := bytes.NewBuffer(b)
	if err := cbor.MarshalToBuffer(r, buffer); err != nil {
		return b, fmt.Errorf("encode record %s: %w", r.ID, err)
	}
	if buffer.Len()-len(b) > MaxRecordBytes {
		return b, fmt.Errorf("encode record %s: it has more than %d bytes", r.ID, MaxRecordBytes)
	}
	return buffer.Bytes(), nil
}

// Decode is the records of a sequence, at most MaxBatch. Its error is ErrMalformed. They are not valid for that.
func Decode(b []byte) ([]Record, error) {
	const small = 160 // bytes of a record
	records := make([]Record, 0, min(1+len(b)/small, MaxBatch))
	decoder := decoding.NewDecoder(bytes.NewReader(b))
	for {
		var r Record
		switch err := decoder.Decode(&r); {
		case errors.Is(err, io.EOF):
			return records, nil
		case err != nil:
			return nil, fmt.Errorf("%w: record %d: %w", ErrMalformed, len(records), err)
		case len(records) == MaxBatch:
			return nil, fmt.Errorf("%w: more than %d records", ErrMalformed, MaxBatch)
		}
		records = append(records, r)
	}
}

// The closed sets. What is in none of them is refused: it would be kept for years and shown to administrators.
var (
	programs  = map[string]bool{"": true, "viewer": true, "client": true}
	viewers   = map[string]bool{"": true, "pc": true, "mobile": true, "unbound": true}
	slots     = map[string]bool{"": true, "pc": true, "mobile": true}
	endValues = map[End]bool{EndNone: true, Expired: true, Replaced: true, Refused: true, Stopped: true, Logout: true}
)

// Validate says what is wrong with a record as a sidecar sends it. The error holds nothing of the record but its id.
func (r *Record) Validate() error {
	if problem := r.problem(); problem != "" {
		return fmt.Errorf("record %s: %s", r.ID, problem)
	}
	return nil
}

func (r *Record) problem() string {
	start := r.Start()
	switch {
	case start <= 0:
		return "it has no time"
	case r.Result != Success && r.Result != Failure:
		return "result is neither Success nor Failure"
	case (r.Result == Failure) != (r.Reason != ""):
		return "a failure has a reason, and a success has none"
	case r.Result == Failure && (r.End != EndNone || r.EndTime != 0 || r.LastSeen != 0 || r.Expire != 0 || r.Partial):
		return "a failure has no connection"
	case r.Result == Success && r.Expire < start:
		return "it can last until before it began"
	case !programs[r.Program] || !viewers[r.Viewer] || !slots[r.Slot] || !endValues[r.End]:
		return "program, viewer, slot or end is none of those that there are"
	case (r.End == EndNone) != (r.EndTime == 0):
		return "an end has a time, and no end has none"
	case r.EndTime < 0 || r.LastSeen < 0 || max(r.EndTime, r.LastSeen, r.Expire) > start+maxDuration:
		return "it ends at no plausible time"
	case !isWord(r.Reason) || !isWord(r.Listener):
		return "reason or listener is not a word"
	}
	return r.textProblem()
}

// maxDuration is longer than any session may last (session.MaxTTL), with clocks that differ.
const maxDuration = Millis(32 * 24 * 3600 * 1000)

func (r *Record) textProblem() string {
	for _, text := range [...]struct {
		value string
		max   int
	}{
		{r.UserName, 512}, {r.User, 253}, {r.Destination, 256}, {r.SourceViewer, 256}, {r.Sidecar, 253},
		{r.CorrelationID, 64}, {r.DeviceDigest, 128}, {r.MACAddress, 17},
	} {
		if len(text.value) > text.max || !isLine(text.value) {
			return "a text is too long, or not one line of UTF-8"
		}
	}
	if !isObjectName(r.User) {
		return "user is no name of an object"
	}
	// An address may have a zone, which is any text.
	if _, err := netip.ParseAddr(r.SourceAddress); r.SourceAddress != "" && (err != nil || len(r.SourceAddress) > maxAddress || !isLine(r.SourceAddress)) {
		return "sourceAddress is no IP address"
	}
	return ""
}

// maxAddress has room for an IPv6 address and the name of a network interface.
const maxAddress = 64

// isObjectName says whether s has no other characters than names of Kubernetes' objects have: it becomes one.
func isObjectName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// isWord says whether s is a short word of letters, as the names of closed sets are; those may grow.
func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return len(s) <= 40
}

func isLine(s string) bool {
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == utf8.RuneError || c == 0x2028 || c == 0x2029 || 0x80 <= c && c < 0xa0 {
			return false
		}
	}
	return true
}

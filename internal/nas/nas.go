// Package nas knows the RADIUS clients of one relay: who may ask, under which shared secret, and where their
// requests tell of the person's device.
//
// It owns the choice of a client by address or certificate, and the layout of the Secret that the sidecars read
// the shared secrets from. It must not read a packet, and no shared secret reaches a log or an error.
package nas

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// Bounds of a shared secret, in bytes. RFC 2865 prefers 16 at least: a shorter one is found by trying, by
// whoever has seen a packet.
const (
	MinSecretBytes = 16
	MaxSecretBytes = 128
)

// SecretKey is the key under which a client's own Secret holds the shared secret.
const SecretKey = "secret"

// SecretName is the name of the Secret with the shared secrets of a server's clients, by the clients' names.
func SecretName(server string) string { return server + "-radius" }

// ParseSecret reads a client's own Secret. A line break at the end, which editors leave there, does not count.
// Its errors do not quote the secret.
func ParseSecret(data map[string][]byte) ([]byte, error) {
	value, ok := data[SecretKey]
	if !ok {
		return nil, fmt.Errorf("it does not have the key %s", SecretKey)
	}
	value = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
	return value, checkSecret(value)
}

func checkSecret(value []byte) error {
	switch {
	case len(value) < MinSecretBytes || len(value) > MaxSecretBytes:
		return fmt.Errorf("the shared secret must have %d to %d bytes", MinSecretBytes, MaxSecretBytes)
	case bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the shared secret must not hold control characters")
	}
	return nil
}

// radSecSecret is shared by everybody over TLS (RFC 6614, section 2.3): the certificates protect the packets.
const radSecSecret = "radsec"

// Client is a gateway, or a network of gateways with one shared secret. It does not change.
type Client struct {
	Name string
	// Require says which Access-Requests without a Message-Authenticator are dropped. Over TLS none is.
	Require v1alpha1.MessageAuthenticatorRequirement
	// DisconnectPort takes Disconnect-Requests; 0 when nothing does.
	DisconnectPort uint16
	// A pointer, which no verb of fmt follows from inside a struct.
	secret *[]byte
}

// Secret is shared with the client. It must be neither printed nor changed.
func (c *Client) Secret() []byte { return *c.secret }

// Attribute is where a value is found: the type of an attribute and, of vendors' attributes, the vendor.
type Attribute struct {
	Vendor uint32
	Type   byte
	// Key is that of a pair key=value, empty for the whole attribute.
	Key string
}

// Attributes say where a request tells of the person's device.
type Attributes struct {
	Device, Platform, MACAddress, SourceAddress Attribute
	// mobile are the platforms of the mobile viewer, in lower case.
	mobile map[string]bool
	other  v1alpha1.ViewerKind
}

// Viewer is the viewer of a platform.
func (a *Attributes) Viewer(platform string) v1alpha1.ViewerKind {
	if a.mobile[strings.ToLower(platform)] {
		return v1alpha1.ViewerMobile
	}
	return a.other
}

// Table is the clients of a relay at one time. It does not change.
type Table struct {
	Attributes Attributes
	networks   map[netip.Prefix]*Client
	// lengths are the lengths of the IPv4 and IPv6 prefixes that there are, the longest first.
	v4, v6       []int
	certificates map[string]*Client
}

// ByAddress is the client of the longest network that an address is in, nil when it is in none, or in one whose
// client has no usable secret.
func (t *Table) ByAddress(address netip.Addr) *Client {
	address = address.Unmap().WithZone("")
	lengths := t.v6
	if address.Is4() {
		lengths = t.v4
	}
	for _, bits := range lengths {
		prefix, err := address.Prefix(bits)
		if err != nil {
			return nil
		}
		if c, ok := t.networks[prefix]; ok {
			return c
		}
	}
	return nil
}

// ByCertificate is the client that one of a certificate's DNS names belongs to, nil when none does.
func (t *Table) ByCertificate(names []string) *Client {
	for _, name := range names {
		if c := t.certificates[strings.ToLower(name)]; c != nil {
			return c
		}
	}
	return nil
}

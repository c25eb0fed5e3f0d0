package radius

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"github.com/tegata-dev/tegata/internal/nas"
)

// vendorMicrosoft and its attributes with a person's answer to a challenge (RFC 2548).
const (
	vendorMicrosoft = 311
	msCHAPResponse  = 1
	msCHAP2Response = 25
)

// value is what a request has where the relay's attributes say, empty when it has nothing there. Of several, the
// first counts.
func (p *packet) value(where nas.Attribute) string {
	for found := range p.each(where) {
		text := strings.TrimRight(string(found), "\x00") // some gateways end text as C does
		if where.Key == "" {
			return text
		}
		if value, ok := strings.CutPrefix(text, where.Key+"="); ok {
			return value
		}
	}
	return ""
}

// each goes through the attributes of a type, of a vendor or of none.
func (p *packet) each(where nas.Attribute) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for rest := p.attributes; len(rest) > 0; {
			var t radius.Type
			var value []byte
			t, value, rest = next(rest)
			switch {
			case where.Vendor == 0:
				if t == radius.Type(where.Type) && !yield(value) {
					return
				}
			case t == rfc2865.VendorSpecific_Type:
				if !eachOfVendor(value, where, yield) {
					return
				}
			}
		}
	}
}

// eachOfVendor goes through what one Vendor-Specific attribute holds (RFC 2865, section 5.26). What a vendor
// formats in a way of its own holds nothing that is sought here.
func eachOfVendor(specific []byte, where nas.Attribute, yield func([]byte) bool) bool {
	if len(specific) < 4 || binary.BigEndian.Uint32(specific) != where.Vendor {
		return true
	}
	for rest := specific[4:]; len(rest) >= 2; {
		size := int(rest[1])
		if size < 2 || size > len(rest) {
			return true
		}
		if rest[0] == where.Type && !yield(rest[2:size]) {
			return false
		}
		rest = rest[size:]
	}
	return true
}

func (p *packet) hasVendors(vendor uint32, types ...byte) bool {
	for _, t := range types {
		for range p.each(nas.Attribute{Vendor: vendor, Type: t}) {
			return true
		}
	}
	return false
}

// one is the only attribute of a type; not ok when there is none or there are more.
func (p *packet) one(t radius.Type) (value []byte, ok bool) {
	for found := range p.each(nas.Attribute{Type: byte(t)}) {
		if ok {
			return nil, false
		}
		value, ok = found, true
	}
	return value, ok
}

// device is how a gateway names itself.
type device struct {
	client     string
	identifier string     // NAS-Identifier
	address    netip.Addr // NAS-IP-Address or NAS-IPv6-Address
	from       netip.AddrPort
}

const nasIPv6Address = 95 // RFC 3162

func deviceOf(p *packet, client string, from netip.AddrPort) device {
	address, ok := netip.AddrFromSlice(p.get(rfc2865.NASIPAddress_Type))
	if !ok {
		address, _ = netip.AddrFromSlice(p.get(nasIPv6Address))
	}
	return device{client: client, identifier: p.text(rfc2865.NASIdentifier_Type), address: address.Unmap(), from: from}
}

// same says whether two requests come from one gateway: by the names that both tell, or else by the address.
// Behind a proxy all come from one address, and one client's networks may hold many gateways.
func (d device) same(other device) bool {
	switch {
	case d.client != other.client:
		return false
	case d.identifier != "" && other.identifier != "":
		return d.identifier == other.identifier
	case d.address.IsValid() && other.address.IsValid():
		return d.address == other.address
	}
	return d.from.Addr() == other.from.Addr()
}

package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"slices"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

const (
	headerBytes        = 20
	authenticatorBytes = 16
	// maxPacketBytes is RFC 2865's bound of a packet.
	maxPacketBytes = radius.MaxPacketLength
)

// errMalformed is all that is told of a packet that is none: what is in it is anybody's.
var errMalformed = errors.New("malformed packet")

// packet is a request as it was received. It keeps nothing of the buffer that it was read from.
type packet struct {
	code          radius.Code
	id            byte
	authenticator [authenticatorBytes]byte
	attributes    radius.Attributes
	// signed says that there is a Message-Authenticator, authentic that everything that shows who sent the packet is
	// right, proxied that there is a Proxy-State.
	signed, authentic, proxied bool
}

// outline is where in a packet its parts are, before anything of it is believed.
type outline struct {
	length int
	// signature is the offset of the Message-Authenticator's value, 0 when there is none.
	signature int
	proxied   bool
}

// look walks a packet. It refuses what RFC 2865 has dropped: a length that is wrong, attributes that do not fit, a
// second Message-Authenticator. Bytes behind the length are padding.
func look(raw []byte) (outline, error) {
	if len(raw) < headerBytes {
		return outline{}, errMalformed
	}
	o := outline{length: int(binary.BigEndian.Uint16(raw[2:4]))}
	if o.length < headerBytes || o.length > maxPacketBytes || o.length > len(raw) {
		return outline{}, errMalformed
	}
	for at := headerBytes; at < o.length; {
		if o.length-at < 2 {
			return outline{}, errMalformed
		}
		size := int(raw[at+1])
		if size < 2 || size > o.length-at {
			return outline{}, errMalformed
		}
		switch radius.Type(raw[at]) {
		case rfc2869.MessageAuthenticator_Type:
			if o.signature != 0 || size != 2+md5.Size {
				return outline{}, errMalformed
			}
			o.signature = at + 2
		case rfc2865.ProxyState_Type:
			o.proxied = true
		}
		at += size
	}
	return o, nil
}

// open reads a packet, and says whether what it bears as proof of its sender is right: the Request Authenticator
// of those that have one, and the Message-Authenticator where there is one.
func open(raw, secret []byte) (*packet, error) {
	o, err := look(raw)
	if err != nil {
		return nil, err
	}
	raw = raw[:o.length]
	parsed, err := radius.Parse(raw, secret)
	if err != nil {
		return nil, errMalformed
	}
	p := &packet{
		code: parsed.Code, id: parsed.Identifier, authenticator: parsed.Authenticator, attributes: parsed.Attributes,
		signed: o.signature != 0, proxied: o.proxied,
	}
	var zero [authenticatorBytes]byte
	signedOver := raw[4:headerBytes]
	p.authentic = true
	if p.code == radius.CodeAccountingRequest {
		want := requestAuthenticator(raw, secret)
		p.authentic = hmac.Equal(want[:], p.authenticator[:])
		signedOver = zero[:]
	}
	if p.signed {
		want := signature(raw, o.signature, signedOver, secret)
		p.authentic = hmac.Equal(want[:], raw[o.signature:o.signature+md5.Size]) && p.authentic
	}
	return p, nil
}

// requestAuthenticator is that of an Accounting-Request (RFC 2866, section 3). The codec has a check of it, but
// not one in constant time.
func requestAuthenticator(raw, secret []byte) (sum [md5.Size]byte) {
	hash := md5.New()
	hash.Write(raw[:4])
	hash.Write(sum[:]) // zeros as yet
	hash.Write(raw[headerBytes:])
	hash.Write(secret)
	hash.Sum(sum[:0])
	return sum
}

// signature is the Message-Authenticator (RFC 3579, section 3.2) of a packet whose own begins at an offset, with
// another authenticator in the header.
func signature(raw []byte, at int, authenticator, secret []byte) (sum [md5.Size]byte) {
	mac := hmac.New(md5.New, secret)
	mac.Write(raw[:4])
	mac.Write(authenticator)
	mac.Write(raw[headerBytes:at])
	mac.Write(sum[:]) // zeros as yet
	mac.Write(raw[at+md5.Size:])
	mac.Sum(sum[:0])
	return sum
}

// get is the first attribute of a type, nil when there is none.
func (p *packet) get(t radius.Type) []byte { return p.attributes.Get(t) }

// text is an attribute as text.
func (p *packet) text(t radius.Type) string { return string(p.get(t)) }

// integer is the number in an attribute, 0 when there is none.
func (p *packet) integer(t radius.Type) uint32 {
	n, err := radius.Integer(p.get(t))
	if err != nil {
		return 0
	}
	return n
}

func (p *packet) has(t radius.Type) bool {
	_, ok := p.attributes.Lookup(t)
	return ok
}

// seal makes the bytes of a packet: the Message-Authenticator first, where whoever tampers by a chosen prefix
// (BlastRADIUS) cannot put anything before it, then the attributes, then the header's authenticator. That of a
// reply is made from the request's; that of a request, of zeros.
func seal(code radius.Code, id byte, request [authenticatorBytes]byte, attributes radius.Attributes, secret []byte) ([]byte, error) {
	signed := append(make(radius.Attributes, 0, len(attributes)+1), &radius.AVP{
		Type: rfc2869.MessageAuthenticator_Type, Attribute: make(radius.Attribute, md5.Size),
	})
	raw, err := (&radius.Packet{Code: code, Identifier: id, Authenticator: request, Attributes: append(signed, attributes...)}).MarshalBinary()
	if err != nil {
		return nil, err
	}
	const at = headerBytes + 2
	sum := signature(raw, at, request[:], secret)
	copy(raw[at:], sum[:])
	authenticate(raw, secret)
	return raw, nil
}

// acknowledge makes the bytes of the answer to an Accounting-Request. It has no Message-Authenticator: no RFC says
// how that would be made, and FreeRADIUS drops one that is made as in the other replies. Nobody gains by changing
// it: it says nothing.
func acknowledge(id byte, request [authenticatorBytes]byte, attributes radius.Attributes, secret []byte) ([]byte, error) {
	raw, err := (&radius.Packet{Code: radius.CodeAccountingResponse, Identifier: id, Authenticator: request, Attributes: attributes}).MarshalBinary()
	if err != nil {
		return nil, err
	}
	authenticate(raw, secret)
	return raw, nil
}

// authenticate puts a packet's authenticator where the request's is as yet.
func authenticate(raw, secret []byte) {
	hash := md5.New()
	hash.Write(raw)
	hash.Write(secret)
	hash.Sum(raw[4:4:headerBytes])
}

// unhide takes a User-Password (RFC 2865, section 5.2) out of its hiding. It refuses a length that is none and
// anything but zeros behind the first zero: that is no password but the work of another secret.
func unhide(hidden, secret []byte, authenticator [authenticatorBytes]byte) ([]byte, bool) {
	if len(hidden) < md5.Size || len(hidden) > 8*md5.Size || len(hidden)%md5.Size != 0 {
		return nil, false
	}
	plain := make([]byte, len(hidden))
	before := authenticator[:]
	for at := 0; at < len(hidden); at += md5.Size {
		hash := md5.New()
		hash.Write(secret)
		hash.Write(before)
		subtle.XORBytes(plain[at:at+md5.Size], hidden[at:at+md5.Size], hash.Sum(nil))
		before = hidden[at : at+md5.Size]
	}
	end := len(plain)
	for end > 0 && plain[end-1] == 0 {
		end--
	}
	return plain[:end], !slices.Contains(plain[:end], 0)
}

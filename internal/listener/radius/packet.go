package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash"
	"slices"
	"sync"

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

// packet is a request as it was received.
type packet struct {
	code          radius.Code
	id            byte
	authenticator [authenticatorBytes]byte
	// attributes are a part of the buffer that the packet was read into: whole ones, one after the other. The codec
	// would make objects of them, which costs more than everything else that is done for an interim update.
	attributes []byte
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
func open(raw, secret []byte) (packet, error) {
	o, err := look(raw)
	if err != nil {
		return packet{}, err
	}
	raw = raw[:o.length]
	p := packet{
		code: radius.Code(raw[0]), id: raw[1], authenticator: [authenticatorBytes]byte(raw[4:headerBytes]), attributes: raw[headerBytes:],
		signed: o.signature != 0, authentic: true, proxied: o.proxied,
	}
	signedOver := raw[4:headerBytes]
	if p.code == radius.CodeAccountingRequest {
		want := requestAuthenticator(raw, secret)
		p.authentic = hmac.Equal(want[:], p.authenticator[:])
		signedOver = zeros[:]
	}
	if p.signed {
		want := signature(raw, o.signature, signedOver, secret)
		p.authentic = hmac.Equal(want[:], raw[o.signature:o.signature+md5.Size]) && p.authentic
	}
	return p, nil
}

// zeros stand where an authenticator is not known yet.
var zeros [authenticatorBytes]byte

// digest is MD5 with room for its sum, both of which would be made anew for each packet.
type digest struct {
	hash.Hash
	sum [md5.Size]byte
}

var digests = sync.Pool{New: func() any { return &digest{Hash: md5.New()} }}

// digestOf is the MD5 of all parts.
func digestOf(parts ...[]byte) [md5.Size]byte {
	d, ok := digests.Get().(*digest)
	if !ok {
		panic("a pool of digests has something else") // New makes nothing else
	}
	defer digests.Put(d)
	d.Reset()
	for _, part := range parts {
		d.Write(part)
	}
	d.Sum(d.sum[:0])
	return d.sum
}

// requestAuthenticator is that of an Accounting-Request (RFC 2866, section 3). The codec has a check of it, but
// not one in constant time.
func requestAuthenticator(raw, secret []byte) [md5.Size]byte {
	return digestOf(raw[:4], zeros[:], raw[headerBytes:], secret)
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

// next takes the first attribute off some.
func next(attributes []byte) (t radius.Type, value, rest []byte) {
	size := attributes[1] // look has found it to be good
	return radius.Type(attributes[0]), attributes[2:size], attributes[size:]
}

// lookup is the first attribute of a type.
func (p *packet) lookup(t radius.Type) (value []byte, ok bool) {
	for rest := p.attributes; len(rest) > 0; {
		var of radius.Type
		if of, value, rest = next(rest); of == t {
			return value, true
		}
	}
	return nil, false
}

// get is the first attribute of a type, nil when there is none.
func (p *packet) get(t radius.Type) []byte {
	value, _ := p.lookup(t)
	return value
}

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
	_, ok := p.lookup(t)
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
func acknowledge(id byte, request [authenticatorBytes]byte, proxyStates radius.Attributes, secret []byte) []byte {
	raw := make([]byte, headerBytes, headerBytes+len(proxyStates)*maxTextBytes)
	raw[0], raw[1] = byte(radius.CodeAccountingResponse), id
	copy(raw[4:], request[:])
	for _, a := range proxyStates {
		raw = append(append(raw, byte(a.Type), byte(2+len(a.Attribute))), a.Attribute...)
	}
	binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)))
	authenticate(raw, secret)
	return raw
}

// authenticate puts a packet's authenticator where the request's is as yet.
func authenticate(raw, secret []byte) {
	sum := digestOf(raw, secret)
	copy(raw[4:], sum[:])
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

package extauthz

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tegata-dev/tegata/internal/bearer"
)

// request is what a check needs of a CheckRequest. Its slices are parts of the encoding.
type request struct {
	encoded mem.Buffer

	address     []byte // of the source's socket
	isSocket    bool
	certificate []byte // URL-encoded PEM
	headers     []header

	header header // the one that is being read
}

// header is one of the person's HTTP request.
type header struct {
	name       name
	key, value []byte
	raw        []byte // of the list, in place of value
	inMap      bool
}

// name says which header of those that matter it is.
type name uint8

const (
	otherName name = iota
	authorization
	cookie
	forwardedFor
	acceptLanguage
	deviceHeader
	viewerHeader
	// reserved names begin as those do that only the sidecar sets.
	reserved
)

// maxHeaders bounds the headers that matter. A person's request has one of each.
const maxHeaders = 64

var errHeaders = errors.New("too many headers of the kinds that a check reads")

// requests are those that are not in use.
var requests = sync.Pool{New: func() any { return new(request) }}

// decode reads an encoded CheckRequest, which r then holds until it is released.
func (r *request) decode(data mem.BufferSlice) error {
	r.encoded = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return r.parse(r.encoded.ReadOnlyData())
}

func (r *request) parse(encoded []byte) error {
	if err := r.read(encoded, checkRequest, protowire.DefaultRecursionLimit); err != nil {
		return err
	}
	if len(r.headers) > maxHeaders {
		return errHeaders
	}
	return nil
}

// release lets go of the encoding. The person's credentials stand in it, and it may be large.
func (r *request) release() {
	if r.encoded != nil {
		r.encoded.Free()
	}
	clear(r.headers)
	*r = request{headers: r.headers[:0]}
}

// keep keeps a part that is text. Of a field that comes twice the last one counts.
func (r *request) keep(p part, value []byte) {
	switch p {
	case sourceAddress:
		r.address = value
	case sourceCertificate:
		r.certificate = value
	case headerKey:
		r.header.key = value
	case headerText:
		r.header.value = value
	}
}

// enter begins a part that is a message.
func (r *request) enter(p part) {
	switch p {
	case sourceSocket:
		// A second one adds to the first, unless another kind of address stood between them.
		if !r.isSocket {
			r.isSocket, r.address = true, nil
		}
	case sourceOther:
		r.isSocket, r.address = false, nil
	case headerEntry, headerValue:
		r.header = header{inMap: p == headerEntry}
	}
}

// leave ends a part that is a message.
func (r *request) leave(p part) {
	if p != headerEntry && p != headerValue {
		return
	}
	h := &r.header
	if len(h.raw) > 0 {
		h.value = h.raw
	}
	if h.name = nameOf(h.key); h.name == otherName || len(r.headers) > maxHeaders {
		return
	}
	if h.inMap {
		// Of equal keys of a map the last one counts.
		for i := range r.headers {
			if r.headers[i].inMap && bytes.Equal(r.headers[i].key, h.key) {
				r.headers[i] = *h
				return
			}
		}
	}
	r.headers = append(r.headers, *h)
}

// nameOf tells by the length first, because there are many headers and few that matter.
func nameOf(key []byte) name {
	switch {
	case len(key) == len("cookie") && equalFold(key, "cookie"):
		return cookie
	case len(key) == len("authorization") && equalFold(key, "authorization"):
		return authorization
	case len(key) == len("x-forwarded-for") && equalFold(key, "x-forwarded-for"):
		return forwardedFor
	case len(key) == len("accept-language") && equalFold(key, "accept-language"):
		return acceptLanguage
	case len(key) == len(bearer.DeviceHeader) && equalFold(key, bearer.DeviceHeader):
		return deviceHeader
	case len(key) == len(bearer.ViewerHeader) && equalFold(key, bearer.ViewerHeader):
		return viewerHeader
	case isReserved(key):
		return reserved
	}
	return otherName
}

// equalFold compares with what is in lower case.
func equalFold(key []byte, lower string) bool {
	if len(key) != len(lower) {
		return false
	}
	for i := range len(lower) {
		c := key[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// isReserved says whether an application might take a header for one that the sidecar has set: many see no
// difference between a dash and an underscore.
func isReserved(key []byte) bool {
	if len(key) < len(reservedPrefix) {
		return false
	}
	for i := range len(reservedPrefix) {
		c := key[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		if c != reservedPrefix[i] {
			return false
		}
	}
	return true
}

// only is the value of a header that comes once; several are refused, for nobody can say which counts.
func (r *request) only(n name) (value []byte, found, several bool) {
	for i := range r.headers {
		if r.headers[i].name != n {
			continue
		}
		if found {
			return nil, true, true
		}
		value, found = r.headers[i].value, true
	}
	return value, found, false
}

// text is the value of the first header of a name, empty without one.
func (r *request) text(n name) string {
	for i := range r.headers {
		if r.headers[i].name == n {
			return string(r.headers[i].value)
		}
	}
	return ""
}

// texts are the values of all headers of a name, in their order.
func (r *request) texts(n name) []string {
	var all []string
	for i := range r.headers {
		if r.headers[i].name == n {
			all = append(all, string(r.headers[i].value))
		}
	}
	return all
}

// peer is the address of Envoy's own peer; the zero value when it is none.
func (r *request) peer() netip.Addr {
	address, err := netip.ParseAddr(string(r.address))
	if err != nil {
		return netip.Addr{}
	}
	return address
}

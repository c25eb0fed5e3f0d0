package extauthz

import (
	"errors"
	"unicode/utf8"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A CheckRequest is read in one pass over its encoding that keeps what a check needs and allocates nothing.
// What it does not need is not kept, but it is checked: the whole is refused when, and only when, proto.Unmarshal
// would refuse it, and what is kept is what proto.Unmarshal would find. A test compares the two.

// errDecode says no more than proto.Unmarshal does.
var errDecode = errors.New("cannot parse the CheckRequest")

// content is what stands in a length-delimited field.
type content uint8

const (
	opaque  content = iota // whatever it is, it is well-formed
	text                   // UTF-8
	message                // a message or an entry of a map
)

// part is a field of a CheckRequest that a check needs.
type part uint8

const (
	unneeded part = iota
	sourceSocket
	sourceOther // an address that is no socket's takes a socket's place
	sourceAddress
	sourceCertificate
	headerEntry // in the map, of text
	headerValue // in the list, of bytes
	headerKey
	headerText
	headerBytes
)

// schema is what is known of a message type: its fields by number, of which no type here has many.
type schema struct{ fields []field }

type field struct {
	content content
	part    part
	of      *schema
}

func (s *schema) field(number uint64) field {
	if number < uint64(len(s.fields)) {
		return s.fields[number]
	}
	return field{}
}

// parts are the fields that a check needs, by the names that lead to them.
var parts = map[string]part{
	".attributes.source.address.socket_address":             sourceSocket,
	".attributes.source.address.pipe":                       sourceOther,
	".attributes.source.address.envoy_internal_address":     sourceOther,
	".attributes.source.address.socket_address.address":     sourceAddress,
	".attributes.source.certificate":                        sourceCertificate,
	".attributes.request.http.headers":                      headerEntry,
	".attributes.request.http.headers.key":                  headerKey,
	".attributes.request.http.headers.value":                headerText,
	".attributes.request.http.header_map.headers":           headerValue,
	".attributes.request.http.header_map.headers.key":       headerKey,
	".attributes.request.http.header_map.headers.value":     headerText,
	".attributes.request.http.header_map.headers.raw_value": headerBytes,
}

var checkRequest = schemaOf((*authv3.CheckRequest)(nil).ProtoReflect().Descriptor(), "", map[protoreflect.FullName]*schema{})

// schemaOf makes the schema of a message type. Types of which nothing is needed are shared: some hold themselves.
func schemaOf(d protoreflect.MessageDescriptor, path string, shared map[protoreflect.FullName]*schema) *schema {
	needed := leadsToPart(path)
	if s := shared[d.FullName()]; s != nil && !needed {
		return s
	}
	s := &schema{}
	if !needed {
		shared[d.FullName()] = s
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		for len(s.fields) <= int(f.Number()) {
			s.fields = append(s.fields, field{})
		}
		own := field{part: parts[path+"."+string(f.Name())]}
		switch f.Kind() {
		case protoreflect.StringKind:
			own.content = text
		case protoreflect.BytesKind:
		case protoreflect.MessageKind:
			own.content = message
			own.of = schemaOf(f.Message(), path+"."+string(f.Name()), shared)
		default:
			if f.IsList() {
				panic("extauthz: a repeated number may be packed: " + string(f.FullName()))
			}
		}
		s.fields[f.Number()] = own
	}
	return s
}

func leadsToPart(path string) bool {
	for to := range parts {
		if len(to) > len(path) && to[:len(path)] == path && to[len(path)] == '.' {
			return true
		}
	}
	return false
}

// read walks over the encoding of a message, and of those in it down to a depth.
func (r *request) read(b []byte, s *schema, depth int) error {
	depth--
	if depth < 0 {
		return errDecode
	}
	for len(b) > 0 {
		tag, n := varint(b)
		if n < 0 {
			return errDecode
		}
		b = b[n:]
		number, wireType := tag>>3, protowire.Type(tag&7)
		if number < uint64(protowire.MinValidNumber) || number > uint64(protowire.MaxValidNumber) {
			return errDecode
		}
		if wireType != protowire.BytesType {
			// None of the parts is a number. Where a length is expected, proto.Unmarshal takes such a field for one
			// that it does not know.
			if n = protowire.ConsumeFieldValue(protowire.Number(number), wireType, b); n < 0 {
				return errDecode
			}
			b = b[n:]
			continue
		}
		length, n := varint(b)
		if n < 0 || length > uint64(len(b)-n) {
			return errDecode
		}
		value := b[n : n+int(length)]
		b = b[n+int(length):]
		if err := r.readField(value, s.field(number), depth); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) readField(value []byte, f field, depth int) error {
	switch f.content {
	case opaque:
		if f.part == headerBytes {
			r.header.raw = value
		}
	case text:
		if !utf8.Valid(value) {
			return errDecode
		}
		r.keep(f.part, value)
	case message:
		r.enter(f.part)
		if err := r.read(value, f.of, depth); err != nil {
			return err
		}
		r.leave(f.part)
	}
	return nil
}

// varint is protowire.ConsumeVarint, which the compiler does not inline, for the short ones.
func varint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

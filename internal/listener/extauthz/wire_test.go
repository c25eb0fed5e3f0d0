package extauthz

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// needed is what a check needs, in an order of its own.
type needed struct {
	Address, Certificate string
	Map, List            []pair
}

type pair struct{ Key, Value string }

// published reads with the published type.
func published(encoded []byte) (needed, error) {
	var r authv3.CheckRequest
	if err := proto.Unmarshal(encoded, &r); err != nil {
		return needed{}, err
	}
	source, http := r.GetAttributes().GetSource(), r.GetAttributes().GetRequest().GetHttp()
	n := needed{Address: source.GetAddress().GetSocketAddress().GetAddress(), Certificate: source.GetCertificate()}
	for _, key := range slices.Sorted(maps.Keys(http.GetHeaders())) {
		if nameOf([]byte(key)) != otherName {
			n.Map = append(n.Map, pair{key, http.GetHeaders()[key]})
		}
	}
	for _, h := range http.GetHeaderMap().GetHeaders() {
		value := h.GetValue()
		if len(h.GetRawValue()) > 0 {
			value = string(h.GetRawValue())
		}
		if nameOf([]byte(h.GetKey())) != otherName {
			n.List = append(n.List, pair{h.GetKey(), value})
		}
	}
	return n, nil
}

// ours reads with the reader of this package, into a request that was in use before.
func ours(encoded []byte) (needed, error) {
	r := &request{}
	_ = r.parse(usedBefore)
	r.release()
	if err := r.parse(encoded); err != nil {
		return needed{}, err
	}
	n := needed{Address: string(r.address), Certificate: string(r.certificate)}
	for i := range r.headers {
		h := pair{string(r.headers[i].key), string(r.headers[i].value)}
		if r.headers[i].name != nameOf([]byte(h.Key)) {
			return needed{}, errors.New("the name is not that of the key")
		}
		if r.headers[i].inMap {
			n.Map = append(n.Map, h)
		} else {
			n.List = append(n.List, h)
		}
	}
	slices.SortFunc(n.Map, func(a, b pair) int { return strings.Compare(a.Key, b.Key) })
	return n, nil
}

var usedBefore = encode(fromEnvoy(map[string]string{"authorization": "Bearer other", "cookie": "a=b", "x-tegata-user": "eve"}))

func encode(r *authv3.CheckRequest) []byte {
	encoded, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	return encoded
}

// assertSame compares the two readers.
func assertSame(t *testing.T, encoded []byte) {
	t.Helper()
	want, wantErr := published(encoded)
	got, err := ours(encoded)
	if errors.Is(err, errHeaders) && wantErr == nil && len(want.Map)+len(want.List) > maxHeaders {
		return
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("error %v, want as of the published type: %v", err, wantErr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

// The encodings below are made by hand, from the fields outwards.

func bytesField(n protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), value)
}

func numberField(n protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), value)
}

func all(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func textField(n protowire.Number, value string) []byte { return bytesField(n, []byte(value)) }

func attributes(parts ...[]byte) []byte { return bytesField(1, all(parts...)) }
func source(parts ...[]byte) []byte     { return attributes(bytesField(1, all(parts...))) }
func address(parts ...[]byte) []byte    { return source(bytesField(1, all(parts...))) }
func socketOf(parts ...[]byte) []byte   { return bytesField(1, all(parts...)) }
func httpOf(parts ...[]byte) []byte     { return attributes(bytesField(4, bytesField(2, all(parts...)))) }
func entry(parts ...[]byte) []byte      { return httpOf(bytesField(3, all(parts...))) }
func item(parts ...[]byte) []byte       { return httpOf(bytesField(13, bytesField(1, all(parts...)))) }

func inMap(key, value string) []byte { return entry(textField(1, key), textField(2, value)) }

func groupField(n protowire.Number, inside []byte) []byte {
	b := protowire.AppendTag(nil, n, protowire.StartGroupType)
	b = append(b, inside...)
	return protowire.AppendTag(b, n, protowire.EndGroupType)
}

// deepest is how deep a structure in the metadata may be.
const deepest = 4996

// nested is a structure in the metadata, so deep. It is made from its end, for its beginnings are many.
func nested(depth int) []byte {
	room := make([]byte, 16*depth+64)
	at := len(room)
	wrap := func(n protowire.Number) {
		before := protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.BytesType), uint64(len(room)-at))
		at -= len(before)
		copy(room[at:], before)
	}
	for range depth {
		wrap(1) // ListValue.values
		wrap(6) // Value.list_value
	}
	for _, n := range []protowire.Number{2, 1, 2, 1, 11, 1} { // value of fields, of filter_metadata, of metadata_context
		wrap(n)
	}
	return room[at:]
}

// encodings are named cases that the readers must agree on; they are the seeds of the fuzz test, too.
func encodings() map[string][]byte {
	a := textField(2, "192.0.2.1")
	cases := map[string][]byte{
		"nothing":              {},
		"as Envoy asks":        usedBefore,
		"raw headers":          encode(rawFromEnvoy("authorization", "Bearer x", "cookie", "a=\xff", "cookie", "c=d")),
		"TCP":                  encode(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{Source: &authv3.AttributeContext_Peer{Address: socket("::1", 1)}}}),
		"a certificate":        encode(withCertificate(fromEnvoy(nil), "-----BEGIN%20CERTIFICATE-----")),
		"empty messages":       all(attributes(), source(), address(), httpOf(), entry(), item()),
		"a pipe":               address(bytesField(2, textField(1, "/run/x"))),
		"socket, pipe":         all(address(socketOf(a)), address(bytesField(2, nil))),
		"pipe, socket":         all(address(bytesField(2, nil)), address(socketOf(a))),
		"socket, socket":       all(address(socketOf(a)), address(socketOf(numberField(3, 443)))),
		"twice":                all(address(socketOf(a)), address(socketOf(textField(2, "192.0.2.2")))),
		"around a pipe":        all(address(socketOf(a)), address(bytesField(2, nil)), address(socketOf(numberField(3, 443)))),
		"around internal":      all(address(socketOf(a)), address(bytesField(3, nil)), address(socketOf())),
		"wrongly typed":        all(address(socketOf(a)), address(numberField(2, 1)), source(numberField(1, 5)), numberField(1, 5), httpOf(numberField(3, 1))),
		"pipe as a group":      all(address(socketOf(a)), address(groupField(2, nil))),
		"destination":          attributes(bytesField(2, bytesField(1, bytesField(1, a)))),
		"repeated key":         all(inMap("cookie", "a=1"), inMap("cookie", "b=2")),
		"keys by case":         all(inMap("Cookie", "a=1"), inMap("cookie", "b=2"), inMap("Cookie", "c=3")),
		"key twice":            entry(textField(1, "cookie"), textField(1, "authorization"), textField(2, "v"), textField(2, "w")),
		"value, key":           entry(textField(2, "v"), textField(1, "cookie")),
		"no value":             entry(textField(1, "cookie")),
		"no value after one":   all(inMap("cookie", "v"), entry(textField(1, "authorization"))),
		"no key after one":     all(inMap("cookie", "v"), entry(textField(2, "w"))),
		"no value after a raw": all(item(textField(1, "cookie"), textField(3, "raw")), item(textField(1, "cookie")), inMap("cookie", "v")),
		"no key":               entry(textField(2, "v")),
		"entry with more":      entry(textField(1, "cookie"), textField(2, "v"), textField(3, "\xff"), numberField(1, 7), numberField(2, 7), groupField(9, nil)),
		"both":                 all(item(textField(1, "cookie"), textField(2, "v"), textField(3, "raw")), item(textField(1, "cookie"), textField(2, "v"), textField(3, ""))),
		"map and list":         all(inMap("authorization", "Bearer a"), item(textField(1, "Authorization"), textField(2, "Bearer b"))),
		"raw is no text":       item(textField(1, "cookie"), textField(3, "\xff\xfe")),
		"value is no text":     item(textField(1, "cookie"), textField(2, "\xff\xfe")),
		"key is no text":       inMap("\xff", ""), "header is no text": inMap("other", "\xff"),
		"path is no text":        httpOf(textField(4, "\xff")),
		"address is no text":     address(socketOf(textField(2, "\xff"))),
		"pipe is no text":        address(bytesField(2, textField(1, "\xff"))),
		"destination is no text": attributes(bytesField(2, textField(2, "\xff"))),
		"body":                   httpOf(textField(11, "text"), textField(12, "\xff\xfe")),
		"unknown":                all(textField(99, "\xff"), numberField(98, 1), groupField(97, groupField(96, textField(1, "x")))),
		"large number":           protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber+1)<<3|2),
		"largest number":         all(protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber)<<3), []byte{1}),
		"number 0":               {2, 0},
		"wire type 6":            {1<<3 | 6}, "wire type 7": {1<<3 | 7},
		"long tag": {0x8a, 0x80, 0x00, 0x00}, "overlong tag": {0x8a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00},
		"long length":             {1<<3 | 2, 0x80, 0x00},
		"length past the end":     {1<<3 | 2, 5, 0},
		"enormous length":         {1<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"length of 2^63":          {1<<3 | 2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01},
		"no length":               {1<<3 | 2},
		"number without an end":   {3 << 3, 0x80},
		"group without an end":    {3<<3 | 3},
		"end without a group":     {3<<3 | 4},
		"end in an entry":         entry([]byte{1<<3 | 4}),
		"another group's end":     {3<<3 | 3, 4<<3 | 4},
		"fixed":                   {3<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 4<<3 | 5, 1, 2, 3, 4},
		"fixed, too short":        {3<<3 | 1, 1, 2, 3},
		"metadata":                all(nested(3), nested(0)),
		"metadata, one too deep":  nested(deepest + 1),
		"metadata, just so deep":  nested(deepest),
		"metadata, much too deep": nested(9000),
		"groups, too deep":        deepGroups(10_001), "groups, just so deep": deepGroups(9_999),
	}
	structure, err := structpb.NewStruct(map[string]any{"a": []any{1, "b", nil, true, map[string]any{"c": 2.5}}})
	if err != nil {
		panic(err)
	}
	r := fromEnvoy(nil)
	r.Attributes.MetadataContext = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"envoy.filters.http.jwt_authn": structure}}
	cases["metadata of a filter"] = encode(r)
	return cases
}

func deepGroups(depth int) []byte {
	return all(bytes.Repeat([]byte{3<<3 | 3}, depth), bytes.Repeat([]byte{3<<3 | 4}, depth))
}

func TestRequestsAreReadAsTheirPublishedTypeReadsThem(t *testing.T) {
	for name, encoded := range encodings() {
		t.Run(name, func(t *testing.T) { assertSame(t, encoded) })
	}
}

func TestDepthIsBoundedAsThePublishedTypeBoundsIt(t *testing.T) {
	for depth, wantErr := range map[int]bool{deepest - 1: false, deepest: false, deepest + 1: true} {
		encoded := nested(depth)
		assertSame(t, encoded)
		if _, err := ours(encoded); (err != nil) != wantErr {
			t.Errorf("depth %d: error %v, want one: %t", depth, err, wantErr)
		}
	}
}

func TestHeadersThatMatterAreBounded(t *testing.T) {
	headers := map[string]string{}
	for i := range maxHeaders {
		headers["x-tegata-"+strings.Repeat("x", i)] = ""
	}
	if _, err := ours(encode(fromEnvoy(headers))); err != nil {
		t.Errorf("%d headers: %v", len(headers), err)
	}
	headers["cookie"] = ""
	if _, err := ours(encode(fromEnvoy(headers))); !errors.Is(err, errHeaders) {
		t.Errorf("%d headers: error %v, want %v", len(headers), err, errHeaders)
	}
	// Of others there may be any number.
	for i := range 1000 {
		headers["y"+strings.Repeat("x", i)] = ""
	}
	delete(headers, "cookie")
	if _, err := ours(encode(fromEnvoy(headers))); err != nil {
		t.Error(err)
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	r := &request{}
	allocs := testing.AllocsPerRun(100, func() {
		if err := r.parse(usedBefore); err != nil {
			t.Fatal(err)
		}
		r.release()
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// FuzzCheckRequest: whatever comes is refused when the published type refuses it, and else read as that reads it.
func FuzzCheckRequest(f *testing.F) {
	for _, encoded := range encodings() {
		f.Add(encoded)
	}
	f.Fuzz(assertSame)
}

func BenchmarkReadingARequest(b *testing.B) {
	r := &request{}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.parse(usedBefore); err != nil {
			b.Fatal(err)
		}
		r.release()
	}
}

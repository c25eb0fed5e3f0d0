package extauthz

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/denial"
)

// The headers that the application behind Envoy is told, in lower case, as HTTP/2 has them.
const (
	reservedPrefix = "x-tegata-"
	userHeader     = "x-tegata-user"
	slotHeader     = "x-tegata-slot"
	sessionHeader  = "x-tegata-session"
)

// admitted is an encoded CheckResponse: what sets the headers of each request that passes is made without the
// detour over the published types. A test decodes it with those.
type admitted struct{ encoded mem.Buffer }

// Numbers of the fields of a CheckResponse and of what is in it.
const (
	responseStatus = 1
	responseOK     = 3

	okHeaders         = 2
	okHeadersToRemove = 5
	okResponseHeaders = 6

	optionHeader = 1
	optionAction = 3

	pairKey   = 1
	pairValue = 2
)

// admission is what the application, and after a login the person's program, are told.
type admission struct {
	user, slot, session string
	// setCookie is empty but after a login.
	setCookie string
}

const (
	// prefixRoom is enough for what comes before the headers.
	prefixRoom = 16
	// usualBytes is what replies seldom exceed, and gRPC takes back smaller buffers than that not at all.
	usualBytes = 2 << 10
)

// admit lets a request pass. Envoy removes headers after it has set others, so a name is in one list only: what is
// set takes the place of whatever the person has sent under the name, and the rest is removed.
func (r *request) admit(a admission) *admitted {
	pool := mem.DefaultBufferPool()
	room := pool.Get(usualBytes)
	b := (*room)[:prefixRoom]
	b = appendHeader(b, okHeaders, userHeader, a.user, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	if a.slot != "" {
		b = appendHeader(b, okHeaders, slotHeader, a.slot, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	} else {
		b = appendString(b, okHeadersToRemove, slotHeader)
	}
	b = appendHeader(b, okHeaders, sessionHeader, a.session, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	b = appendString(b, okHeadersToRemove, bearer.DeviceHeader)
	b = appendString(b, okHeadersToRemove, bearer.ViewerHeader)
	b = r.withhold(b)
	if a.setCookie != "" {
		b = appendHeader(b, okResponseHeaders, "set-cookie", a.setCookie, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	}
	*room = addPrefix(b)
	return &admitted{mem.NewBuffer(room, pool)}
}

// addPrefix puts, in place of the room for it, what comes before the headers.
func addPrefix(b []byte) []byte {
	headers := b[prefixRoom:]
	prefix := protowire.AppendTag(b[:0], responseStatus, protowire.BytesType)
	prefix = append(prefix, 0) // an empty status is OK
	prefix = protowire.AppendTag(prefix, responseOK, protowire.BytesType)
	prefix = protowire.AppendVarint(prefix, uint64(len(headers)))
	return append(prefix, headers...)
}

// withhold keeps from the application what is none of its business: the credential, which it could use elsewhere,
// and headers that it could take for the sidecar's.
func (r *request) withhold(b []byte) []byte {
	cookies := false
	for i := range r.headers {
		h := &r.headers[i]
		switch h.name {
		case authorization:
			if _, isBearer := bearer.Token(h.value); isBearer || bearer.IsBasic(h.value) {
				b = appendString(b, okHeadersToRemove, "authorization")
			}
		case cookie:
			_, isSession := bearer.Cookie(h.value)
			cookies = cookies || isSession
		case reserved:
			if !equalFold(h.key, userHeader) && !equalFold(h.key, slotHeader) && !equalFold(h.key, sessionHeader) {
				b = appendString(b, okHeadersToRemove, string(h.key))
			}
		}
	}
	if cookies {
		return r.withholdCookie(b)
	}
	return b
}

// withholdCookie leaves the other cookies.
func (r *request) withholdCookie(b []byte) []byte {
	rest := r.texts(cookie)
	for i := range rest {
		rest[i] = bearer.WithoutCookie(rest[i])
	}
	left := strings.Trim(strings.Join(rest, "; "), "; ")
	if left == "" {
		return appendString(b, okHeadersToRemove, "cookie")
	}
	return appendHeader(b, okHeaders, "cookie", left, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
}

// appendHeader appends a header to be set.
func appendHeader(b []byte, field protowire.Number, key, value string, action corev3.HeaderValueOption_HeaderAppendAction) []byte {
	const tag = 1 // each of the tags is one byte, and so is each action
	pair := tag + protowire.SizeBytes(len(key)) + tag + protowire.SizeBytes(len(value))
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(tag+protowire.SizeBytes(pair)+tag+1))
	b = protowire.AppendTag(b, optionHeader, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(pair))
	b = appendString(b, pairKey, key)
	b = appendString(b, pairValue, value)
	b = protowire.AppendTag(b, optionAction, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(action))
}

func appendString(b []byte, field protowire.Number, value string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, value)
}

// denied is the uniform denial.
func (c *checker) denied(acceptLanguages, id string) *authv3.CheckResponse {
	body, language := c.denials.Body(c.service.Denial(), id, acceptLanguages)
	return refusal(codes.Unauthenticated, typev3.StatusCode_Unauthorized, body,
		"content-type", denial.ContentType, "www-authenticate", denial.Challenge, "content-language", language)
}

// invalid answers a login that is not of the documented form. Nothing was looked up for it.
func invalid(err error) *authv3.CheckResponse {
	var body bytes.Buffer
	// A struct of strings and a number can always be encoded.
	_ = json.NewEncoder(&body).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"https://tegata.dev/problems/invalid-request", "Invalid request", http.StatusBadRequest, err.Error()})
	return refusal(codes.InvalidArgument, typev3.StatusCode_BadRequest, body.Bytes(), "content-type", denial.ContentType)
}

// refusal is what Envoy answers in place of the application.
func refusal(code codes.Code, httpStatus typev3.StatusCode, body []byte, headers ...string) *authv3.CheckResponse {
	response := &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: httpStatus}, Body: string(body)}
	headers = append(headers, "cache-control", "no-store")
	for i := 0; i < len(headers); i += 2 {
		response.Headers = append(response.Headers, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: headers[i], Value: headers[i+1]},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(code)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: response},
	}
}

package login

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/httpreply"
	"github.com/tegata-dev/tegata/internal/listenertest"
)

// requestInput is what the validator needs of a login.
func requestInput(t *testing.T, router routers.Router, body string) *openapi3filter.RequestValidationInput {
	t.Helper()
	r := newLogin(body)
	r.Header.Set("Accept-Language", "ja")
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		t.Fatal(err)
	}
	return &openapi3filter.RequestValidationInput{
		Request: r, Route: route, PathParams: parameters, Options: &openapi3filter.Options{MultiError: true, IncludeResponseStatus: true},
	}
}

func validateResponse(in *openapi3filter.RequestValidationInput, status int, header http.Header, body string) error {
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: status, Header: header, Options: in.Options,
		Body: io.NopCloser(strings.NewReader(body)),
	})
}

// TestDescriptionAndHandlerAgree has the description and the handler judge the same bodies.
func TestDescriptionAndHandlerAgree(t *testing.T) {
	router, compact := listenertest.Description(t, openAPI), signed(t, newKey(t), "nonce", "n")
	for name, tc := range map[string]struct {
		body string
		want int
	}{
		"pc":                       {goodBody, http.StatusOK},
		"mobile":                   {with(t, "viewer", `"mobile"`), http.StatusOK},
		"unbound":                  {with(t, "viewer", `"unbound"`), http.StatusOK},
		"client":                   {`{"user":"hanako","password":"pw","program":"client"}`, http.StatusOK},
		"everything":               {strings.TrimSuffix(goodBody, "}") + `,"macAddress":"00:11:22:aa:bb:cc","destination":"office"}`, http.StatusOK},
		"client that is reached":   {`{"user":"hanako","password":"pw","program":"client","sourceViewer":"pc-of-taro"}`, http.StatusOK},
		"viewer that is reached":   {with(t, "sourceViewer", `"pc-of-taro"`), http.StatusBadRequest},
		"long source viewer":       {`{"user":"hanako","password":"pw","program":"client","sourceViewer":"` + strings.Repeat("v", 254) + `"}`, http.StatusBadRequest},
		"without fingerprint":      {with(t, "fingerprint", ""), http.StatusOK},
		"MAC address with hyphens": {with(t, "macAddress", `"00-11-22-AA-BB-CC"`), http.StatusOK},
		"MAC address with dots":    {with(t, "macAddress", `"0011.22aa.bbcc"`), http.StatusOK},
		"MAC address without all":  {with(t, "macAddress", `"001122aabbcc"`), http.StatusOK},
		"longest":                  {with(t, "fingerprint", `"`+strings.Repeat("f", 1024)+`"`), http.StatusOK},
		"no user":                  {with(t, "user", ""), http.StatusBadRequest},
		"empty user":               {with(t, "user", `""`), http.StatusBadRequest},
		"long user":                {with(t, "user", `"`+strings.Repeat("u", 513)+`"`), http.StatusBadRequest},
		"no password":              {with(t, "password", ""), http.StatusBadRequest},
		"long password":            {with(t, "password", `"`+strings.Repeat("p", 257)+`"`), http.StatusBadRequest},
		"a number for a user":      {with(t, "user", "1"), http.StatusBadRequest},
		"null for a viewer":        {with(t, "viewer", "null"), http.StatusBadRequest},
		"no program":               {with(t, "program", ""), http.StatusBadRequest},
		"unknown program":          {with(t, "program", `"telnet"`), http.StatusBadRequest},
		"no viewer":                {with(t, "viewer", ""), http.StatusBadRequest},
		"unknown viewer":           {with(t, "viewer", `"tablet"`), http.StatusBadRequest},
		"client with a viewer":     {with(t, "program", `"client"`), http.StatusBadRequest},
		"unknown field":            {with(t, "admin", "true"), http.StatusBadRequest},
		"different case":           {strings.Replace(goodBody, "user", "User", 1), http.StatusBadRequest},
		"short fingerprint":        {with(t, "fingerprint", `"aaaaaaa"`), http.StatusBadRequest},
		"long fingerprint":         {with(t, "fingerprint", `"`+strings.Repeat("f", 1025)+`"`), http.StatusBadRequest},
		"no MAC address":           {with(t, "macAddress", `"00:11:22"`), http.StatusBadRequest},
		"mixed MAC address":        {with(t, "macAddress", `"00:11-22:aa-bb:cc"`), http.StatusBadRequest},
		"long destination":         {with(t, "destination", `"`+strings.Repeat("d", 254)+`"`), http.StatusBadRequest},
		"proof":                    {proofBody(compact), http.StatusOK},
		"no proof":                 {proofBody("aaaaaaaa"), http.StatusBadRequest},
		"long proof":               {proofBody(strings.Repeat("a", 4096) + ".b.c"), http.StatusBadRequest},
		"proof and fingerprint":    {strings.Replace(goodBody, "{", `{"proof":"`+compact+`",`, 1), http.StatusBadRequest},
		"proof, unbound viewer":    {strings.Replace(proofBody(compact), `"pc"`, `"unbound"`, 1), http.StatusBadRequest},
		"proof, client":            {`{"user":"hanako","password":"pw","program":"client","proof":"` + compact + `"}`, http.StatusBadRequest},
		"a list":                   {"[]", http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			in := requestInput(t, router, tc.body)
			err := openapi3filter.ValidateRequest(t.Context(), in)
			if (err == nil) != (tc.want == http.StatusOK) {
				t.Errorf("the description says: %v", err)
			}
			w := httptest.NewRecorder()
			NewHandler(allowing()).ServeHTTP(w, requestInput(t, router, tc.body).Request)
			if w.Code != tc.want {
				t.Errorf("status %d, want %d: %s", w.Code, tc.want, w.Body)
			}
			if err := validateResponse(in, w.Code, w.Header(), w.Body.String()); err != nil {
				t.Errorf("the description does not allow the answer %s: %v", w.Body, err)
			}
		})
	}
}

func TestAnswersAreAsDescribed(t *testing.T) {
	router := listenertest.Description(t, openAPI)
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   int
	}{
		"admitted":   {NewHandler(allowing()).ServeHTTP, http.StatusOK},
		"denied":     {NewHandler(denying(decision.Throttled)).ServeHTTP, http.StatusUnauthorized},
		"too large":  {posting(http.Header{"Content-Type": {"application/json"}}, strings.Repeat(" ", 8<<10+1)), http.StatusRequestEntityTooLarge},
		"not JSON":   {posting(http.Header{}, goodBody), http.StatusUnsupportedMediaType},
		"no room":    {func(w http.ResponseWriter, _ *http.Request) { httpreply.Busy(w) }, http.StatusServiceUnavailable},
		"not a POST": {getLogin, http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			in := requestInput(t, router, goodBody)
			w := httptest.NewRecorder()
			tc.answer(w, in.Request)
			if w.Code != tc.want {
				t.Fatalf("status %d, want %d: %s", w.Code, tc.want, w.Body)
			}
			if err := validateResponse(in, w.Code, w.Header(), w.Body.String()); err != nil {
				t.Errorf("%s: %v", w.Body, err)
			}
			assertEveryMemberIsDescribed(t, in, w)
		})
	}
}

// posting asks with another header and body than the description is asked about.
func posting(header http.Header, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		r := newLogin(body)
		r.Header = header
		NewHandler(allowing()).ServeHTTP(w, r)
	}
}

func getLogin(w http.ResponseWriter, _ *http.Request) {
	NewHandler(allowing()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/login", http.NoBody))
}

// assertEveryMemberIsDescribed gives each member in turn a value of the wrong type, which only the
// description of that very member refuses.
func assertEveryMemberIsDescribed(t *testing.T, in *openapi3filter.RequestValidationInput, w *httptest.ResponseRecorder) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &members); err != nil {
		t.Fatal(err)
	}
	for name := range members {
		original := members[name]
		members[name] = json.RawMessage("[]")
		changed, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		members[name] = original
		if err := validateResponse(in, w.Code, w.Header(), string(changed)); err == nil {
			t.Errorf("the description knows nothing of %s", name)
		}
	}
}

func TestDescriptionIsServed(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w := httptest.NewRecorder()
		NewHandler(allowing()).ServeHTTP(w, httptest.NewRequest(method, "/openapi.yaml", http.NoBody))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/yaml" || !bytes.Equal(w.Body.Bytes(), openAPI) {
			t.Errorf("%s: status %d, %v", method, w.Code, w.Header())
		}
	}
}

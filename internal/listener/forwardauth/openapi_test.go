package forwardauth

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/listenertest"
)

func TestAnswersAreAsDescribed(t *testing.T) {
	router := listenertest.Description(t, openAPI)
	admitting, denying := newHandler(listenertest.Admitting()), newHandler(listenertest.Denying(decision.DeviceMismatch))
	full := full(t)
	for name, tc := range map[string]struct {
		handler http.Handler
		request *http.Request
		want    int
	}{
		"a session":             {admitting, toAuth("Authorization: Bearer x"), 200},
		"Basic":                 {admitting, toAuth(basicHeader, "X-Tegata-Viewer: mobile", "X-Tegata-Device: aaaaaaaa"), 200},
		"no login":              {admitting, toAuth("Authorization: Basic x"), 400},
		"no credential":         {denying, toAuth(), 401},
		"denied session":        {denying, toAuth("Authorization: Bearer x", "Accept-Language: ja"), 401},
		"no room":               {full, toAuth("Authorization: Bearer x"), 503},
		"login":                 {admitting, newLogin(goodBody), 200},
		"login, no JSON":        {admitting, newLogin("{"), 400},
		"login denied":          {denying, newLogin(goodBody), 401},
		"login from elsewhere":  {admitting, with(newLogin(goodBody), "Origin: https://evil.example"), 403},
		"login too large":       {admitting, newLogin(strings.Repeat(" ", 9000)), 413},
		"login, no room":        {full, newLogin(goodBody), 503},
		"challenge":             {admitting, newChallenge(), 200},
		"one from elsewhere":    {admitting, with(newChallenge(), "Sec-Fetch-Site: cross-site"), 403},
		"logout":                {admitting, newLogout(withCookie(listenertest.Token)), 204},
		"logout of nobody":      {admitting, newLogout(), 204},
		"logout denied":         {denying, newLogout("Authorization: Bearer x"), 401},
		"logout from elsewhere": {admitting, with(newLogout(), "Sec-Fetch-Site: cross-site"), 403},
	} {
		t.Run(name, func(t *testing.T) {
			route, parameters, err := router.FindRoute(tc.request)
			if err != nil {
				t.Fatal(err)
			}
			in := &openapi3filter.RequestValidationInput{
				Request: tc.request, Route: route, PathParams: parameters, Options: &openapi3filter.Options{MultiError: true, IncludeResponseStatus: true},
			}
			w := ask(tc.handler, tc.request)
			if w.Code != tc.want {
				t.Fatalf("status %d, want %d: %s", w.Code, tc.want, w.Body)
			}
			err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
				RequestValidationInput: in, Status: w.Code, Header: w.Header(), Options: in.Options, Body: io.NopCloser(w.Body),
			})
			if err != nil {
				t.Errorf("not as described: %v", err)
			}
		})
	}
}

// full is a handler whose places to wait are all taken until the test ends.
func full(t *testing.T) http.Handler {
	t.Helper()
	release, arrived, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := listenertest.Denying(decision.PasswordMismatch)
	h := NewHandler(s, Options{MaxWaiting: 1, Metrics: NewMetrics(prometheus.NewRegistry())})
	s.Before = func(context.Context) {
		s.Before = nil
		close(arrived)
		<-release
	}
	go func() {
		defer close(done)
		ask(h, toAuth(basicHeader))
	}()
	<-arrived
	t.Cleanup(func() { close(release); <-done })
	return h
}

func TestDescriptionIsServed(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w := ask(newHandler(listenertest.Admitting()), httptest.NewRequest(method, "/openapi.yaml", http.NoBody))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/yaml" || !bytes.Equal(w.Body.Bytes(), openAPI) {
			t.Errorf("%s: status %d, %v", method, w.Code, w.Header())
		}
	}
}

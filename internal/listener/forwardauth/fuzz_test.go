package forwardauth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/listenertest"
	"github.com/tegata-dev/tegata/internal/loginbody"
)

// FuzzForwardedHeaders: whatever stands in the headers, a request is one of: answered without asking the service,
// a check of a session, or a login within the bounds that the service counts on; and only what the service has
// admitted passes.
func FuzzForwardedHeaders(f *testing.F) {
	for _, seed := range [][6]string{
		{"", "", "", "", "", ""},
		{"Bearer x", "__Host-tegata-session=y", "10.0.0.1, 192.0.2.1", "", "", ""},
		{"Basic aGFuYWtvOnB3", "a=b; __Host-tegata-session=y; c", "[2001:db8::1]:80", "-----BEGIN%20CERTIFICATE-----%0A", "aaaaaaaa", "pc"},
		{"basic =", "__Host-tegata-session=;;=", ",,,", "MIIB", "\xff", "PC"},
		{"BEARER", ";", "unknown", "%zz", " ", "unbound"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4], seed[5])
	}
	f.Fuzz(func(t *testing.T, authorization, cookie, forwardedFor, certificate, device, viewer string) {
		for _, verdict := range []decision.Verdict{decision.Allow, decision.Deny} {
			s := listenertest.Admitting().Trusting("192.0.2.0/24") // of httptest's requests
			s.Outcome.Verdict = verdict
			s.Relay.Denial = authn.Denial{Code: 293, ResponseTime: 1}
			h := NewHandler(s, Options{MaxWaiting: 1, Metrics: NewMetrics(prometheus.NewRegistry()), CertificateHeader: "X-Tegata-Client-Cert"})
			r := httptest.NewRequest(http.MethodGet, "/v1/auth", http.NoBody)
			for name, value := range map[string]string{
				"Authorization": authorization, "Cookie": cookie, "X-Forwarded-For": forwardedFor,
				"X-Tegata-Client-Cert": certificate, "X-Tegata-Device": device, "X-Tegata-Viewer": viewer,
			} {
				if value != "" {
					r.Header[name] = []string{value}
				}
			}
			assertOneAnswer(t, s, ask(h, r), verdict)
		}
	})
}

func assertOneAnswer(t *testing.T, s *listenertest.Service, w *httptest.ResponseRecorder, verdict decision.Verdict) {
	t.Helper()
	logins, sessions := s.Logins(), s.Sessions()
	if len(logins) > 1 || len(sessions) > 1 || (verdict == decision.Allow && len(logins)+len(sessions) > 1) {
		t.Fatalf("%d logins, %d sessions", len(logins), len(sessions))
	}
	asked := len(logins)+len(sessions) > 0
	switch {
	case w.Code == http.StatusOK && verdict == decision.Allow && asked:
	case w.Code == http.StatusUnauthorized && (verdict == decision.Deny || !asked):
	case w.Code == http.StatusBadRequest && len(logins) == 0:
	default:
		t.Fatalf("status %d, verdict %s, %d logins, %d sessions", w.Code, verdict, len(logins), len(sessions))
	}
	for name, values := range w.Header() {
		if strings.ContainsAny(strings.Join(values, ""), "\r\n") {
			t.Fatalf("%s: %q", name, values)
		}
	}
	for _, a := range logins {
		assertBounded(t, a)
	}
}

func assertBounded(t *testing.T, a *authn.Attempt) {
	t.Helper()
	if n := len(a.UserName); n < 1 || n > loginbody.MaxUserBytes || !utf8.ValidString(a.UserName) {
		t.Fatalf("user of %d bytes", n)
	}
	if n := len(a.Password); n < 1 || n > loginbody.MaxPasswordBytes || !utf8.Valid(a.Password) {
		t.Fatalf("password of %d bytes", n)
	}
	if a.Program != decision.ProgramViewer || a.Viewer == decision.ViewerUnknown {
		t.Fatalf("program %d with viewer %d", a.Program, a.Viewer)
	}
}

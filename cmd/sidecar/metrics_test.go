package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/failures"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/listener/login"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

// marker is in every user name, password, device and destination of the logins below.
const marker = "mark3r"

// oneUser is a relay with one user, whose password is always right.
type oneUser struct{ account authn.Account }

func (o *oneUser) Policy() *authn.Policy {
	limit := authn.Limit{Failures: 100, Interval: time.Minute}
	return &authn.Policy{Denial: authn.Denial{Code: 293, ResponseTime: time.Millisecond}, PerUser: limit, PerSource: limit, SessionTTL: time.Hour}
}

func (o *oneUser) Lookup(name string) (*authn.Account, password.Hash) {
	if name == o.account.Name {
		return &o.account, password.Hash{}
	}
	return nil, password.Hash{}
}

func (*oneUser) Device(fingerprint.Fingerprint) decision.Device {
	return decision.Device{Digests: []decision.Digest{"k1:" + marker}}
}

func (o *oneUser) Verify(_ context.Context, _ password.Hash, plain []byte, _ password.Priority) (bool, error) {
	return strings.HasPrefix(string(plain), "right"), nil
}

func (*oneUser) Subject(string) *authn.Subject { return nil }

func (*oneUser) Enroll(context.Context, authn.Enrollment) (authn.Enrolled, error) {
	return authn.Enrolled{Outcome: decision.Outcome{Verdict: decision.Enroll, Slot: decision.SlotPC}}, nil
}

func (*oneUser) Record(authn.Event) {}
func (*oneUser) Fresh() bool        { return true }

func TestMetricsHaveNoNames(t *testing.T) {
	registry := prometheus.NewRegistry()
	failures.NewMetrics(registry)
	password.NewMetrics(registry)
	user := &oneUser{account: authn.Account{Name: "hanako-" + marker, UID: marker}}
	keys, err := session.ParseKeys(session.NewKeys(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	sessions := session.New(session.Options{
		Issuer: "demo/asp1", Keys: func() *session.Keys { return keys }, MaxPerUser: func() int { return 1 }, Keep: func(*session.Live) {},
	})
	service := authn.NewService(authn.Dependencies{
		Directory: user, Verifier: user, Enroller: user, Liveness: user, Recorder: user,
		Metrics: authn.NewMetrics(registry), Log: logr.Discard(), Sessions: sessions,
	})
	listener := login.NewHandler(service)
	for _, body := range []string{
		`{"user":"hanako-mark3r","password":"right-mark3r","program":"viewer","viewer":"pc","fingerprint":"mark3r-device","destination":"mark3r"}`,
		`{"user":"hanako-mark3r","password":"wrong-mark3r","program":"viewer","viewer":"pc","fingerprint":"mark3r-device"}`,
		`{"user":"nobody-mark3r","password":"wrong-mark3r","program":"client"}`,
		`{"user":"mark3r"}`,
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/login", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept-Language", marker)
		r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr("203.0.113.77"), 4711).String()
		listener.ServeHTTP(httptest.NewRecorder(), r)
	}

	w := httptest.NewRecorder()
	probes(registry, nil, fresh(true)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	page := w.Body.String()
	for _, name := range []string{marker, "203.0.113.77", "hanako"} {
		if strings.Contains(page, name) {
			t.Errorf("the metrics hold %s", name)
		}
	}
	var got []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "tegata_login_attempts_total") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(got)
	want := []string{
		`tegata_login_attempts_total{listener="login",reason="",verdict="enroll"} 1`,
		`tegata_login_attempts_total{listener="login",reason="PasswordMismatch",verdict="deny"} 1`,
		`tegata_login_attempts_total{listener="login",reason="UnknownUser",verdict="deny"} 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

// TestDocsTellEveryMetric: a metric that is added gets its line in the page for the one on call, with its labels.
func TestDocsTellEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, program := range []string{"manager", "sidecar", "history"} {
		list, err := os.ReadFile("../../config/prometheus/testdata/" + program + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.FieldsSeq(string(list)) {
			name, labels, _ := strings.Cut(strings.TrimSuffix(line, "}"), "{")
			if !strings.HasPrefix(name, "tegata_") {
				continue // controller-runtime's
			}
			found++
			if !told(string(page), name, labels, program) {
				t.Errorf("docs/observability.md does not tell of %s of the %s", line, program)
			}
		}
	}
	if found < 40 {
		t.Errorf("there are %d metrics", found)
	}
}

// told says whether a page has the metric in code, with its labels in whatever order. All of a sidecar's have the
// server's.
func told(page, name, labels, program string) bool {
	var want []string
	for label := range strings.SplitSeq(labels, ",") {
		if label != "" && (program != "sidecar" || label != "server") {
			want = append(want, label)
		}
	}
	for _, match := range regexp.MustCompile("`"+name+`(?:\{([^}]*)\})?`+"`").FindAllStringSubmatch(page, -1) {
		var have []string
		if match[1] != "" {
			have = slices.Sorted(strings.SplitSeq(match[1], ","))
		}
		if slices.Equal(have, want) {
			return true
		}
	}
	return false
}

package acceptance

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
	"github.com/tegata-dev/tegata/internal/tracing/tracingtest"
)

// TestTraceOfALogin: the steps of each login are spans within its listener's, and tell nothing of anybody.
func TestTraceOfALogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t), func(s *v1alpha1.RelayServer) { s.Spec.TrustedProxies = []v1alpha1.CIDR{"127.0.0.1/32"} })
	w.addUser("mika", testenv.Combined)
	c := tracingtest.Start(t)
	s := w.startSidecar("--trace-endpoint=" + c.URL)

	const gateways = "0af7651916cd43dd8448eb211c80319c"
	enrolled := w.mustLogin(s, phone("mika", oldPhone))
	mismatch := w.login(s, phone("mika", newPhone), "traceparent", "00-"+gateways+"-b7ad6b7169203331-01", "X-Forwarded-For", "203.0.113.77")
	unknown := w.login(s, guess("my-password-typed-as-a-name"))
	for name, tc := range map[string]struct {
		answer          answer
		verdict, reason string
		steps           []string
	}{
		"a first login":   {enrolled, "enroll", "", []string{"bind", "decide", "directory", "hash", "record", "session", "throttle"}},
		"another phone":   {mismatch, "deny", "DeviceMismatch", []string{"decide", "directory", "hash", "record", "throttle"}},
		"an unknown name": {unknown, "deny", "UnknownUser", []string{"decide", "directory", "hash", "record", "throttle"}},
	} {
		var spans tracingtest.Spans
		trace := ""
		w.eventually(func() error {
			id, found := c.Find(func(s tracingtest.Spans) bool {
				return s.Attribute("login", "tegata.correlation_id") == tc.answer.CorrelationID && s["listener login"] != nil
			})
			if trace, spans = id.String(), found; found == nil {
				return errors.New("the login has no trace yet")
			}
			return nil
		})
		if within := spans.Within("listener login"); !slices.Equal(within, []string{"login"}) {
			t.Errorf("%s: within its listener there is %v", name, within)
		}
		if verdict, reason := spans.Attribute("login", "tegata.verdict"), spans.Attribute("login", "tegata.reason"); verdict != tc.verdict || reason != tc.reason {
			t.Errorf("%s: the trace says %q %q, want %q %q", name, verdict, reason, tc.verdict, tc.reason)
		}
		if steps := spans.Within("login"); !slices.Equal(steps, tc.steps) {
			t.Errorf("%s: steps %v, want %v", name, steps, tc.steps)
		}
		if (trace == gateways) != (name == "another phone") {
			t.Errorf("%s: its trace is %s", name, trace)
		}
		if told := tc.answer.header.Get("Traceparent"); told != "" {
			t.Errorf("%s: the reply tells of the trace: %s", name, told)
		}
	}
	text := c.Text()
	for _, secret := range []string{"mika", "my-password", samplePassword, oldPhone, newPhone, "127.0.0.1\"", "203.0.113.77"} {
		if strings.Contains(text, secret) {
			t.Errorf("the traces hold %s", secret)
		}
	}
}

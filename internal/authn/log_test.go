package authn

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/logflood"
)

// TestFloodsDoNotFillTheLog: what costs nobody a password hash is logged so often only, and counted beyond that. What
// was hashed is logged whole.
func TestFloodsDoNotFillTheLog(t *testing.T) {
	const flood = 10 * logflood.PerSecond
	left := fmt.Sprintf(`"count"=%d`, flood-logflood.PerSecond)
	login := func(t *testing.T, s *stage, want decision.Reason) {
		t.Helper()
		wantReason(t, s.login(t, "owner", wrong, otherDevice, away), want)
	}
	for name, tc := range map[string]struct {
		before func(*testing.T, *stage)
		cause  func(*testing.T, *stage)
		line   string
		want   int
		count  string // empty when nothing is left out
	}{
		"bad tokens": {
			cause: func(t *testing.T, s *stage) { s.wantSession(t, "bad", decision.SessionInvalid) },
			line:  `"msg"="Session refused"`, want: logflood.PerSecond, count: `"line"="Session refused" ` + left,
		},
		"throttled logins": {
			before: func(t *testing.T, s *stage) { s.drainName(t) },
			cause:  func(t *testing.T, s *stage) { login(t, s, decision.Throttled) },
			line:   `"msg"="Login"`, want: logflood.PerSecond, count: `"line"="Login" ` + left,
		},
		"logins while nobody is admitted": {
			before: func(_ *testing.T, s *stage) { s.fresh = false },
			cause:  func(t *testing.T, s *stage) { login(t, s, decision.ServerUnavailable) },
			line:   `"msg"="Login"`, want: logflood.PerSecond, count: `"line"="Login" ` + left,
		},
		"wrong passwords": {
			before: func(_ *testing.T, s *stage) {
				s.policy.PerUser.Failures, s.policy.PerSource.Failures = 2*flood, 2*flood
			},
			cause: func(t *testing.T, s *stage) { login(t, s, decision.PasswordMismatch) },
			line:  `"msg"="Login"`, want: flood,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				if tc.before != nil {
					tc.before(t, s)
				}
				s.logged.Reset()
				for range flood {
					tc.cause(t, s)
				}
				<-time.After(time.Second)
				synctest.Wait()
				logged := s.logged.String()
				if got := strings.Count(logged, tc.line); got != tc.want {
					t.Errorf("%d lines, want %d", got, tc.want)
				}
				if strings.Contains(logged, "left out") != (tc.count != "") || !strings.Contains(logged, tc.count) {
					t.Errorf("the rest is not counted as %s:\n%s", tc.count, logged[max(0, len(logged)-300):])
				}
			})
		})
	}
}

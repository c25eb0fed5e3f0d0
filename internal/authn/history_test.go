package authn

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/tegata-dev/tegata/internal/decision"
)

// attempts keeps what a history is told.
type attempts struct{ events []Event }

func (a *attempts) Attempted(e Event) { a.events = append(a.events, e) }

// TestEveryAttemptIsTold: whatever became of it, and whoever has the name.
func TestEveryAttemptIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		user, password string
		keep           bool
		change         func(*stage)
		wantReason     decision.Reason
		wantName       string
		wantAccount    bool
	}{
		"admitted":                    {"owner", right, false, nil, decision.ReasonNone, "owner", true},
		"wrong password":              {"owner", "wrong", false, nil, decision.PasswordMismatch, "owner", true},
		"unknown name":                {"hunter2", "wrong", false, nil, decision.UnknownUser, "", false},
		"unknown name that is kept":   {"hunter2", "wrong", true, nil, decision.UnknownUser, "hunter2", false},
		"nothing known of the relay":  {"owner", right, false, func(s *stage) { s.policy = nil }, decision.ServerUnavailable, "owner", true},
		"unknown name without policy": {"hunter2", "x", true, func(s *stage) { s.policy = nil }, decision.ServerUnavailable, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			told := &attempts{}
			s.history = told
			s.policy.KeepUnknownNames = tc.keep
			if tc.change != nil {
				tc.change(s)
			}
			result := s.login(t, tc.user, tc.password, ownDevice, home)
			if len(told.events) != 1 {
				t.Fatalf("%d attempts are told", len(told.events))
			}
			got := told.events[0]
			if got.Result.Reason != tc.wantReason || got.UserName != tc.wantName || (got.Account != nil) != tc.wantAccount ||
				got.Attempt.UserName != tc.user || got.Result.Session != result.Session {
				t.Errorf("told %+v", got)
			}
			if result.Allowed() != (got.Result.Session != nil) {
				t.Errorf("session %v", got.Result.Session)
			}
		})
	}
}

// TestCorrelationIDsHoldTheArrivalOnly: a later time would tell how long the decision took.
func TestCorrelationIDsHoldTheArrivalOnly(t *testing.T) {
	arrival := time.Date(2026, 11, 15, 10, 17, 0, 123_456_789, time.UTC)
	seen := map[string]bool{}
	var before ulid.ULID
	inOrder := 0
	for range 1000 {
		id := NewCorrelationID(arrival)
		parsed, err := ulid.ParseStrict(id)
		if err != nil || seen[id] || !ulid.Time(parsed.Time()).Equal(arrival.Truncate(time.Millisecond)) {
			t.Fatalf("%s: %v, seen %t", id, err, seen[id])
		}
		if bytes.Compare(before[:], parsed[:]) < 0 {
			inOrder++
		}
		before, seen[id] = parsed, true
	}
	if inOrder > 900 {
		t.Error("ids of one moment tell how many there were")
	}
	s := newStage(t)
	late := s.now
	s.now = s.now.Add(time.Second)
	refused := s.CheckSession(t.Context(), SessionAttempt{Listener: "test", Arrival: late, Token: "none"})
	if diff := cmp.Diff(NewCorrelationID(late)[:10], refused.ID[:10]); diff != "" {
		t.Errorf("a session's denial (-want +got):\n%s", diff)
	}
}

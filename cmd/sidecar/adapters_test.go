package main

import (
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/session"
)

// TestEndOfASessionIsLogged: with its user's name as long as that is known, and not with an empty one.
func TestEndOfASessionIsLogged(t *testing.T) {
	for name, tc := range map[string]struct {
		details  session.Details
		wantUser bool
	}{
		"began here, the user is gone": {session.Details{User: "taro"}, true},
		"began elsewhere":              {session.Details{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var logged strings.Builder
			log := sessionLog{funcr.New(func(_, args string) { logged.WriteString(args) }, funcr.Options{}), directory.New("asp1")}
			live := &session.Live{Session: session.Session{ID: "01M837", UID: "uid-1", Begin: time.Unix(10, 0)}, Details: tc.details}
			log.Ended(live, session.Refused, time.Unix(20, 0))
			got := logged.String()
			for _, want := range []string{`"session"="01M837"`, `"userUID"="uid-1"`, `"cause"="Refused"`, `"seconds"=10`} {
				if !strings.Contains(got, want) {
					t.Errorf("the log does not say %s: %s", want, got)
				}
			}
			if strings.Contains(got, `"user"="taro"`) != tc.wantUser || strings.Contains(got, `"user"=""`) {
				t.Errorf("user in the log: %s, want it: %v", got, tc.wantUser)
			}
		})
	}
}

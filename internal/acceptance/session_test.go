package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// gateway is a sidecar that serves forward auth beside logins.
type gateway struct {
	*sidecar
	auth string
}

func (w *world) startGateway(flags ...string) *gateway {
	w.t.Helper()
	address := w.env.FreeAddress(w.t)
	flags = append(flags, "--forward-auth-address="+address)
	return &gateway{sidecar: w.startSidecar(flags...), auth: "http://" + address + "/v1/auth"}
}

// sessionReply is what a login's reply tells of a session.
type sessionReply struct {
	Session struct{ ID, Token string } `json:"session"`
}

func (w *world) sessionOf(a answer) sessionReply {
	w.t.Helper()
	var got sessionReply
	if err := json.Unmarshal(a.body, &got); err != nil || got.Session.Token == "" {
		w.t.Fatalf("login answered %s: %v", a.body, err)
	}
	return got
}

// admits asks whether a request under the session may pass.
func (g *gateway) admits(t *testing.T, s sessionReply) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, g.auth, http.NoBody)
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+s.Session.Token)
	response, err := httpClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		if got := response.Header.Get("X-Tegata-Session"); got != s.Session.ID {
			t.Errorf("admitted under session %q, want %q", got, s.Session.ID)
		}
		return true
	case http.StatusUnauthorized:
		return false
	}
	t.Fatalf("answered %s", response.Status)
	return false
}

func (g *gateway) end(t *testing.T, s sessionReply) int {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+g.url+"/v1/sessions/"+s.Session.ID+"/end", http.NoBody)
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+s.Session.Token)
	response, err := httpClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	return response.StatusCode
}

func fastDenials(s *v1alpha1.RelayServer) {
	s.Spec.Denial.ResponseTime = metav1.Duration{Duration: 300 * time.Millisecond}
	s.Spec.MaxStaleness = metav1.Duration{Duration: 15 * time.Second}
}

// TestSessionsAtEverySidecar: what one has issued admits at the others, also right after a device was enrolled,
// and also at one that was killed and started anew.
func TestSessionsAtEverySidecar(t *testing.T) {
	w := newWorld(t, testenv.Shared(t), fastDenials)
	w.addUser("hanako", testenv.Combined)
	here, there := w.startGateway(), w.startGateway()
	first := w.mustLogin(here.sidecar, phone("hanako", newPhone))
	session := w.sessionOf(first)
	// Asked elsewhere at once: the binding is on its way there.
	if !there.admits(t, session) || !here.admits(t, session) {
		t.Error("a session that has just begun is refused")
	}
	must(t, there.Kill())
	again := w.startGateway()
	if !again.admits(t, session) {
		t.Error("a sidecar that was started anew refuses the session")
	}
	other := w.sessionOf(w.mustLogin(again.sidecar, pc("hanako", aPC)))
	if !here.admits(t, other) {
		t.Error("a session of the other slot is refused")
	}

	if got := again.end(t, other); got != http.StatusNoContent {
		t.Errorf("logout answered %d", got)
	}
	if again.admits(t, other) {
		t.Error("a session is admitted after its logout")
	}
	w.eventually(func() error {
		if here.admits(t, other) {
			return errNotYet("the other sidecar has not heard of the logout")
		}
		return nil
	})
	must(t, again.Kill())
	if last := w.startGateway(); last.admits(t, other) || !last.admits(t, session) {
		t.Error("a sidecar that was started anew knows a session that was ended, or none that was not")
	}
}

// TestSessionsFollowTheUser: each change ends them wherever they are, as soon as the sidecar has seen it.
func TestSessionsFollowTheUser(t *testing.T) {
	w := newWorld(t, testenv.Shared(t), fastDenials)
	w.addUser("hanako", testenv.Combined)
	g := w.startGateway()
	patch := func(spec string) func() {
		return func() { w.kubectl("", "patch", "relayuser", "hanako", "--type=merge", "-p", `{"spec":`+spec+`}`) }
	}
	for _, step := range []struct {
		what       string
		change     func()
		undo       func()
		comesAgain bool
	}{
		{"suspended", patch(`{"suspended":true}`), patch(`{"suspended":false}`), true},
		{"network withdrawn", patch(`{"network":{"viewer":{"allowedCIDRs":["192.0.2.0/24"]}}}`), patch(`{"network":null}`), true},
		{"program withdrawn", patch(`{"programs":{"viewer":{"mobile":false,"combined":false}}}`), patch(`{"programs":{"viewer":{"mobile":true,"combined":true}}}`), true},
		{"stronger devices wanted", patch(`{"minimumDeviceKind":"Proof"}`), patch(`{"minimumDeviceKind":null}`), true},
		{"ended by an administrator", func() {
			patch(`{"endSessionsBefore":"` + time.Now().Add(time.Second).UTC().Format(time.RFC3339) + `"}`)()
		}, func() {}, false},
		{"password rotated", func() {
			w.kubectl("", "patch", "secret", "hanako-password", "-p", `{"stringData":{"password":"another-horse-battery"}}`)
		}, func() {
			w.kubectl("", "patch", "secret", "hanako-password", "-p", `{"stringData":{"password":"`+samplePassword+`"}}`)
		}, false},
		{"user deleted", func() { w.kubectl("", "delete", "relayuser", "hanako") }, nil, false},
	} {
		var session sessionReply
		w.eventually(func() error { // the time before which sessions were ended may not have come yet
			session = w.sessionOf(w.mustLogin(g.sidecar, phone("hanako", newPhone)))
			if !g.admits(t, session) {
				return errNotYet("%s: a new session is not admitted", step.what)
			}
			return nil
		})
		step.change()
		w.eventually(func() error {
			if g.admits(t, session) {
				return errNotYet("%s: the session goes on", step.what)
			}
			return nil
		})
		if step.undo == nil {
			continue
		}
		step.undo()
		if step.comesAgain {
			w.eventually(func() error {
				if !g.admits(t, session) {
					return errNotYet("%s, and undone: the session is refused", step.what)
				}
				return nil
			})
			continue
		}
		w.mustLogin(g.sidecar, phone("hanako", newPhone))
		if g.admits(t, session) {
			t.Errorf("%s: the session came back", step.what)
		}
	}
}

// TestCompleteEndsSessions: once a reset is Complete no sidecar admits a session of the old device, not even one
// that was frozen and did not hear of it (promise 4).
func TestCompleteEndsSessions(t *testing.T) {
	w := newWorld(t, testenv.Shared(t), fastDenials)
	w.addUser("hanako", testenv.Combined)
	sidecars := []*gateway{w.startGateway(), w.startGateway(), w.startGateway()}
	frozen := sidecars[2]
	for round := range 3 {
		device := fmt.Sprintf("%s-%d", oldPhone, round)
		session := w.sessionOf(w.mustLogin(sidecars[0].sidecar, phone("hanako", device)))
		for i, g := range sidecars {
			if !g.admits(t, session) {
				t.Errorf("round %d: sidecar %d refuses a session", round, i)
			}
		}
		last := round == 2
		if last {
			must(t, frozen.Pause())
		}
		w.reset(fmt.Sprintf("reset-%d", round), "hanako", v1alpha1.SlotMobile)
		if last {
			must(t, frozen.Resume())
		}
		for i, g := range sidecars {
			if g.admits(t, session) {
				t.Errorf("round %d: the reset is Complete, and sidecar %d admits the old device's session", round, i)
			}
		}
	}
}

// TestStatusEndsSessions: those that it names, and no newer ones.
func TestStatusEndsSessions(t *testing.T) {
	w := newWorld(t, testenv.Shared(t), fastDenials)
	w.addUser("hanako", testenv.Combined)
	g := w.startGateway()
	older := w.sessionOf(w.mustLogin(g.sidecar, phone("hanako", newPhone)))
	newer := w.sessionOf(w.mustLogin(g.sidecar, phone("hanako", newPhone)))
	if _, err := statuspatch.Apply(context.Background(), w.env.Client, w.user("hanako"), func(u *v1alpha1.RelayUser) {
		u.Status.EndedSessions.UpTo = older.Session.ID
	}); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if g.admits(t, older) {
			return errNotYet("the session goes on")
		}
		return nil
	})
	if !g.admits(t, newer) {
		t.Error("a newer session ended, too")
	}
}

package acceptance

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestNoSecretLeaks looks for every secret of a whole run in all that is written: logs, events, status,
// metrics and replies (promise 6).
func TestNoSecretLeaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t))
	w.addUser("mika", testenv.Combined)
	w.create(testenv.User(w.namespace, "generated", serverName)) // its password is made by the manager
	g := w.startGateway("--log-level=debug")
	s := g.sidecar
	typedIntoUser := guess("my-password-typed-as-a-name")
	replies := []answer{
		w.mustLogin(s, phone("mika", oldPhone)),
		w.login(s, phone("mika", newPhone)),
		w.login(s, guess("mika")),
		w.login(s, typedIntoUser),
	}
	session, ended := w.sessionOf(replies[0]), w.sessionOf(w.mustLogin(s, phone("mika", oldPhone)))
	if !g.admits(t, session) || g.end(t, ended) != http.StatusNoContent || g.admits(t, ended) {
		t.Error("sessions are not what they should be")
	}
	w.reset("mika-phone", "mika", "mobile")
	if g.admits(t, session) {
		t.Error("the session outlived the reset")
	}
	replies = append(replies, w.login(s, phone("mika", newPhone)))
	w.expectFailure("mika", "PasswordMismatch")
	w.eventually(func() error { return w.secretExists("generated-temporary-password") })

	written := map[string]string{
		"manager log": readFile(t, w.manager.LogPath()),
		"sidecar log": readFile(t, s.LogPath()),
		"events":      w.kubectl("", "get", "events.events.k8s.io", "-o", "yaml"),
		"objects":     w.kubectl("", "get", "relayservers,relayusers,deviceresets,leases", "-o", "yaml", "--show-managed-fields"),
		"metrics":     s.metrics(),
	}
	// Who logs in is told the token; nobody else is told any part of it.
	for name, reply := range map[string]sessionReply{"a session": session, "an ended session": ended} {
		for i, part := range strings.Split(reply.Session.Token, ".")[1:] {
			for what, text := range written {
				if strings.Contains(text, part) {
					t.Errorf("part %d of %s's token is written to %s", i+1, name, what)
				}
			}
		}
	}
	for _, r := range replies {
		written["replies"] += string(r.body)
	}
	secrets := w.secretsOfRun()
	secrets["a fingerprint"] = oldPhone
	secrets["another fingerprint"] = newPhone
	secrets["a wrong password"] = "a-wrong-password"
	secrets["a password typed as a name"] = typedIntoUser.User
	if len(secrets) < 10 {
		t.Fatalf("only %d secrets are known", len(secrets))
	}
	for what, text := range written {
		if len(text) < 50 {
			t.Errorf("%s is empty: nothing was looked at", what)
		}
		for name, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s is written to %s", name, what)
			}
		}
	}
}

// secretsOfRun is what all Secrets of the namespace hold, and tokens, in every spelling that might leak.
func (w *world) secretsOfRun() map[string]string {
	w.t.Helper()
	found := map[string]string{}
	for secret, data := range w.secretData() {
		for key, value := range data {
			if key == "userName" || strings.HasSuffix(key, "-current") || strings.HasPrefix(key, "session-created.") {
				continue // names, ids and times, which are no secrets
			}
			name := secret + " " + key
			found[name] = string(value)
			found[name+" in base64"] = base64.StdEncoding.EncodeToString(value)
			found[name+" in hex"] = hex.EncodeToString(value)
		}
	}
	return found
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

package rbac_test

import (
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/testenv"
)

const newPhone = `apiVersion: tegata.dev/v1alpha1
kind: DeviceReset
metadata: {name: taro-new-phone}
spec: {userRef: {name: taro}, slots: [mobile]}
`

// TestHelpdeskAtWork does what docs/install.md says the help desk can and cannot, with kubectl.
func TestHelpdeskAtWork(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	user := testenv.User(namespace, "taro", "asp1")
	if err := env.Client.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	person := bind(t, env.Client, namespace, "tegata-helpdesk")
	testenv.Eventually(t, activation, func() error { return mayRead(t, env.Client, person, namespace) })
	config, err := env.ControlPlane.UserConfig(person)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, stdin, args, wantErr string
	}{
		{"sees the relays", "", "get relayservers", ""},
		{"sees why", "", "get relayusers -o wide", ""},
		{"resets by apply", newPhone, "apply -f -", ""},
		{"applies the same again", newPhone, "apply -f -", ""},
		{"resets by create", strings.Replace(newPhone, "phone", "pc", 1), "create -f -", ""},
		{"sees that it is done", "", "get deviceresets", ""},
		{"does not reset by server-side apply", strings.Replace(newPhone, "phone", "tablet", 1), "apply --server-side -f -", "forbidden"},
		{"does not change a reset", "", "label devicereset taro-new-phone seen=true", "forbidden"},
		{"does not delete a reset", "", "delete devicereset taro-new-phone", "forbidden"},
		{"does not suspend a user", "", `patch relayuser taro --type=merge -p {"spec":{"suspended":true}}`, "forbidden"},
		{"does not write status", "", `patch relayuser taro --subresource=status --type=merge -p {"status":{"failureCount":9}}`, "forbidden"},
		{"does not read Secrets", "", "get secrets", "forbidden"},
	} {
		t.Run(step.name, func(t *testing.T) {
			args := append([]string{"-n", namespace}, strings.Fields(step.args)...)
			stdout, stderr, err := env.KubectlAs(t, config, step.stdin, args...)
			if (step.wantErr == "") != (err == nil) || !strings.Contains(stderr, step.wantErr) {
				t.Errorf("%v, want %q\n%s%s", err, step.wantErr, stdout, stderr)
			}
		})
	}
}

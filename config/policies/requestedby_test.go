package policies_test

import (
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

func notYours(name string) string {
	return denied("tegata-devicereset-requested-by", `spec.requestedBy must be the name of whoever makes the request, "`+name+`": leave it out`)
}

var notYoursEither = denied("tegata-devicereset-requested-by", "spec.requestedBy must be the name of whoever makes the request: leave it out")

// reset is a DeviceReset that says who asked; nobody when requestedBy is empty.
func reset(namespace, name, requestedBy string) *v1alpha1.DeviceReset {
	return &v1alpha1.DeviceReset{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.DeviceResetSpec{
			UserRef: &v1alpha1.LocalReference{Name: "taro"}, Slots: []v1alpha1.Slot{v1alpha1.SlotMobile}, RequestedBy: requestedBy,
		},
	}
}

// operator is a person who may make DeviceResets in the namespace.
func operator(t *testing.T, env *testenv.Env, namespace, name string) *rest.Config {
	t.Helper()
	config, err := env.ControlPlane.UserConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	grant(t, env, namespace, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}, rbacv1.PolicyRule{
		APIGroups: []string{"tegata.dev"}, Resources: []string{"deviceresets"}, Verbs: []string{"create", "get", "patch", "update", "delete"},
	})
	return config
}

// requester is someone by whom a DeviceReset is made.
type requester struct {
	config  *rest.Config
	kubectl []string // flags
	name    string   // as the API server knows them
}

func requesters(t *testing.T, env *testenv.Env, namespace string) map[string]requester {
	t.Helper()
	robot := env.ServiceAccountConfig(t, namespace, "argocd")
	robotName := "system:serviceaccount:" + namespace + ":argocd"
	grant(t, env, namespace, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "argocd"}, rbacv1.PolicyRule{
		APIGroups: []string{"tegata.dev"}, Resources: []string{"deviceresets"}, Verbs: []string{"create", "get", "patch"},
	})
	hanako := operator(t, env, namespace, "hanako@example.com")
	return map[string]requester{
		"person":       {config: hanako, name: "hanako@example.com"},
		"robot":        {config: robot, name: robotName},
		"impersonated": {config: env.Config, kubectl: []string{"--as=hanako@example.com"}, name: "hanako@example.com"},
	}
}

func TestRequestedByCannotBeForged(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	for who, requester := range requesters(t, env, namespace) {
		for given, tc := range map[string]struct{ requestedBy, want string }{
			"nobody":        {"", ""},
			"themselves":    {requester.name, ""},
			"another":       {"admin", notYours(requester.name)},
			"the same name": {strings.ToUpper(requester.name), notYours(requester.name)},
		} {
			for _, how := range []string{"--server-side=false", "--server-side=true"} {
				t.Run(who+" names "+given+" "+how, func(t *testing.T) {
					name := strings.ReplaceAll(fmt.Sprintf("%s-%s%s", who, given, strings.ReplaceAll(how, "=", "-")), " ", "-")
					err := applyReset(t, env, requester, namespace, name, fmt.Sprintf(", requestedBy: %q", tc.requestedBy), how)
					if given == "nobody" {
						err = applyReset(t, env, requester, namespace, name, "", how)
					}
					checkError(t, err, tc.want)
					if tc.want != "" {
						return
					}
					if got := stored(t, env, namespace, name).Spec.RequestedBy; got != tc.requestedBy {
						t.Errorf("requestedBy %q, want %q", got, tc.requestedBy)
					}
				})
			}
		}
	}
}

// TestRequestedByOddNames: what a person reads stays one line, whatever the names.
func TestRequestedByOddNames(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	for name, tc := range map[string]struct{ user, requestedBy, want string }{
		"quotes":              {`o'taro "x"`, "admin", notYours(`o'taro "x"`)},
		"kanji":               {"花子", "太郎", notYours("花子")},
		"of 512, named":       {strings.Repeat("あ", 512), strings.Repeat("あ", 512), ""},
		"of 513":              {strings.Repeat("a", 513), "admin", notYoursEither},
		"of 513, not named":   {strings.Repeat("a", 513), "", ""},
		"a prefix of another": {"hanako", "hanako2", notYours("hanako")},
	} {
		t.Run(name, func(t *testing.T) {
			config := rest.CopyConfig(env.Config)
			config.Impersonate = rest.ImpersonationConfig{UserName: tc.user, Groups: []string{"system:masters"}}
			object := reset(namespace, "", tc.requestedBy)
			object.GenerateName = "odd-"
			checkError(t, newClient(t, env, config).Create(t.Context(), object), tc.want)
		})
	}
}

// TestRequestedByEmptyIsNotLeftOut: an empty name is a name given.
func TestRequestedByEmptyIsNotLeftOut(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	admin := requester{config: env.Config, name: "admin"}
	checkError(t, applyReset(t, env, admin, namespace, "empty", `, requestedBy: ""`), notYours("admin"))
}

// applyReset runs kubectl apply; the error is the line that kubectl prints.
func applyReset(t *testing.T, env *testenv.Env, by requester, namespace, name, fields string, flags ...string) error {
	t.Helper()
	manifest := fmt.Sprintf("apiVersion: tegata.dev/v1alpha1\nkind: DeviceReset\nmetadata: {name: %s}\n"+
		"spec: {userRef: {name: taro}, slots: [mobile]%s}\n", name, fields)
	args := append([]string{"apply", "-n", namespace, "-f", "-"}, append(flags, by.kubectl...)...)
	if len(by.kubectl) > 0 {
		args = append(args, "--as-group=system:masters")
	}
	if _, stderr, err := env.KubectlAs(t, by.config, manifest, args...); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr))
	}
	return nil
}

func stored(t *testing.T, env *testenv.Env, namespace, name string) *v1alpha1.DeviceReset {
	t.Helper()
	object := &v1alpha1.DeviceReset{}
	if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object); err != nil {
		t.Fatal(err)
	}
	return object
}

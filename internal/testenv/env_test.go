package testenv_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestSharedServesTheKinds(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	if other := env.Namespace(t); other == namespace {
		t.Errorf("two namespaces are both %q", other)
	}
	secret := testenv.PasswordSecret(namespace, "hanako-password", "correct horse")
	user := testenv.User(namespace, "hanako", "asp1", testenv.Combined, testenv.WithPasswordSecret(secret.Name))
	for _, object := range []client.Object{testenv.Server(namespace, "asp1"), secret, user} {
		if err := env.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	stored := &v1alpha1.RelayUser{}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(user), stored); err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.RelayUserSpec{
		ServerRef: v1alpha1.LocalReference{Name: "asp1"},
		Type:      v1alpha1.UserTypeGeneral,
		Programs:  v1alpha1.Programs{Viewer: v1alpha1.ViewerPrograms{Mobile: true, Combined: true}},
		Password:  &v1alpha1.PasswordSource{SecretRef: v1alpha1.LocalReference{Name: "hanako-password"}},
	}
	if diff := cmp.Diff(want, stored.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

func TestRBACHoldsEveryoneButTheAdministrator(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	person, err := env.ControlPlane.UserConfig("hanako", "operators")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		config  *rest.Config
		subject rbacv1.Subject
	}{
		"a user":  {person, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "hanako"}},
		"a group": {person, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "operators"}},
		"a service account": {
			env.ServiceAccountConfig(t, namespace, "sidecar"),
			rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "sidecar"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			own := env.Namespace(t)
			c, err := client.New(tc.config, client.Options{Scheme: env.Scheme})
			if err != nil {
				t.Fatal(err)
			}
			list := func() error { return c.List(t.Context(), &v1alpha1.RelayUserList{}, client.InNamespace(own)) }
			if err := list(); !apierrors.IsForbidden(err) {
				t.Fatalf("list before it is granted: %v, want forbidden", err)
			}
			grantReader(t, env, own, tc.subject)
			testenv.Eventually(t, 10*time.Second, list)
		})
	}
}

func grantReader(t *testing.T, env *testenv.Env, namespace string, subject rbacv1.Subject) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "reader"}
	for _, object := range []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"relayusers"}, Verbs: []string{"list"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, Subjects: []rbacv1.Subject{subject},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		},
	} {
		if err := env.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKubectl(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	const server = "apiVersion: tegata.dev/v1alpha1\nkind: RelayServer\nmetadata: {name: asp1}\nspec: {host: asp1.example.com}\n"
	stdout, stderr, err := env.Kubectl(t, server, "apply", "-n", namespace, "-f", "-")
	if want := "relayserver.tegata.dev/asp1 created\n"; stdout != want || err != nil {
		t.Errorf("apply: %q, %q, %v; want %q", stdout, stderr, err, want)
	}
	account := env.ServiceAccountConfig(t, namespace, "nobody")
	_, stderr, err = env.KubectlAs(t, account, "", "get", "relayservers", "-n", namespace)
	if want := `User "system:serviceaccount:` + namespace + `:nobody" cannot list`; err == nil || !strings.Contains(stderr, want) {
		t.Errorf("get as a service account: %q, %v; want %q", stderr, err, want)
	}
}

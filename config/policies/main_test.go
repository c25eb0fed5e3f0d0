package policies_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	// activation is how long a policy may take to be enforced.
	activation = 30 * time.Second
	server     = "asp1"
	account    = server + "-sidecar"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// denied is what the API server says when a policy refuses a request.
func denied(policy, message string) string {
	return fmt.Sprintf("ValidatingAdmissionPolicy '%s' with binding '%s' denied request: %s", policy, policy, message)
}

// shared is the control plane of these tests, with its policies in force.
func shared(t *testing.T) *testenv.Env {
	t.Helper()
	env := testenv.Shared(t)
	inForce.Do(func() { awaitPolicies(t, env) })
	return env
}

var inForce sync.Once

// awaitPolicies asks, without effect, for what each policy refuses until it does.
func awaitPolicies(t *testing.T, env *testenv.Env) {
	t.Helper()
	namespace := env.Namespace(t)
	sidecar := sidecarClient(t, env, namespace, server)
	foreign := testenv.User(namespace, "foreign", "asp2")
	if err := env.Client.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	for policy, request := range map[string]func() error{
		"tegata-devicereset-requested-by": func() error {
			return env.Client.Create(t.Context(), reset(namespace, "probe", "nobody"), client.DryRunAll)
		},
		"tegata-sidecar-leases": func() error {
			return sidecar.Create(t.Context(), lease(namespace, "probe", server), client.DryRunAll)
		},
		"tegata-sidecar-status": func() error {
			return sidecar.Status().Patch(t.Context(), foreign.DeepCopy(),
				client.RawPatch("application/merge-patch+json", []byte(`{"status":{"failureCount":1}}`)), client.DryRunAll)
		},
	} {
		testenv.Eventually(t, activation, func() error {
			if err := request(); err == nil || !strings.Contains(err.Error(), "'"+policy+"'") {
				return fmt.Errorf("policy %s is not in force: %w", policy, err)
			}
			return nil
		})
	}
}

// sidecarClient is a sidecar of a server: a client of its ServiceAccount, with what the manager permits it.
func sidecarClient(t *testing.T, env *testenv.Env, namespace, server string) client.Client {
	t.Helper()
	return accountClient(t, env, namespace, server+"-sidecar", sidecarRules(server)...)
}

// sidecarRules are what the manager permits the sidecars of a server, as far as the policies are about it.
func sidecarRules(server string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"tegata.dev"}, Resources: []string{"relayusers"}, Verbs: []string{"get", "list", "watch"}},
		// The manager does not permit update. The policy must hold it, too.
		{APIGroups: []string{"tegata.dev"}, Resources: []string{"relayusers/status"}, Verbs: []string{"patch", "serve", "update"}},
		{APIGroups: []string{"history.tegata.dev"}, Resources: []string{"accesslogs/records"}, ResourceNames: []string{server}, Verbs: []string{"create"}},
		leaseRule,
	}
}

// leaseRule has one verb that the manager does not permit.
var leaseRule = rbacv1.PolicyRule{
	APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"},
	Verbs: []string{"create", "get", "update", "patch", "delete", "deletecollection"},
}

// accountClient is a client of a ServiceAccount that may do what the rules say in its namespace.
func accountClient(t *testing.T, env *testenv.Env, namespace, name string, rules ...rbacv1.PolicyRule) client.Client {
	t.Helper()
	config := env.ServiceAccountConfig(t, namespace, name)
	grant(t, env, namespace, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}, rules...)
	return newClient(t, env, config)
}

func newClient(t *testing.T, env *testenv.Env, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// grant lets a subject do what the rules say, and waits until the authorizer knows.
func grant(t *testing.T, env *testenv.Env, namespace string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: subject.Name}
	for _, object := range []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: rules},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, Subjects: []rbacv1.Subject{subject},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		},
	} {
		if err := env.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	awaitGrant(t, env, namespace, subject, rules[len(rules)-1])
}

// awaitGrant waits until the authorizer permits the first that a rule permits.
func awaitGrant(t *testing.T, env *testenv.Env, namespace string, subject rbacv1.Subject, rule rbacv1.PolicyRule) {
	t.Helper()
	user := subject.Name
	if subject.Kind == rbacv1.ServiceAccountKind {
		user = "system:serviceaccount:" + subject.Namespace + ":" + subject.Name
	}
	testenv.Eventually(t, activation, func() error {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: rule.Resources[0],
			},
		}}
		if err := env.Client.Create(t.Context(), review); err != nil {
			return err
		}
		if !review.Status.Allowed {
			return fmt.Errorf("%s may not yet %s %s", user, rule.Verbs[0], rule.Resources[0])
		}
		return nil
	})
}

// checkError compares what the API server says; nothing is wanted when the request is to pass.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("passed, want it refused: %s", want)
	case want != "" && !strings.HasSuffix(err.Error(), want):
		t.Errorf("refused: %v\nwant: %s", err, want)
	case want != "" && !apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "(Forbidden)"):
		t.Errorf("refused: %v; want that as forbidden, which a client does not try again", err)
	}
}

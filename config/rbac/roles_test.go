// Package rbac_test asks the real authorizer what the roles for people permit.
package rbac_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// activation is how long the authorizer may take to know a binding.
const activation = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// verbs are all that a request can have, and those that RBAC has of its own.
var verbs = strings.Fields("get list watch create update patch delete deletecollection bind escalate impersonate")

// others are resources that none of the roles is to give anything of: the history's that are for programs, and what
// stands beside a relay.
var others = strings.Fields(`history.tegata.dev/accesslogs history.tegata.dev/accesslogs/records
	history.tegata.dev/accessrecords/status history.tegata.dev/userusages/status
	/secrets /configmaps /events /pods /pods/exec /serviceaccounts /serviceaccounts/token /namespaces
	coordination.k8s.io/leases rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/rolebindings
	rbac.authorization.k8s.io/clusterroles rbac.authorization.k8s.io/clusterrolebindings`)

const (
	read = "get list watch"
	all  = read + " create update patch delete deletecollection"
)

// permitted is, for each role, what it permits, by group and resource. What is not here it must refuse.
var permitted = map[string]map[string]string{
	"tegata-admin": {
		"tegata.dev/relayservers": all, "tegata.dev/relayusers": all, "tegata.dev/deviceresets": all,
		"history.tegata.dev/accessrecords": read, "history.tegata.dev/userusages": "get list",
	},
	"tegata-helpdesk": {
		"tegata.dev/relayservers": read, "tegata.dev/relayusers": read, "tegata.dev/deviceresets": read + " create",
		"history.tegata.dev/accessrecords": read, "history.tegata.dev/userusages": "get list",
	},
	"tegata-viewer": {
		"tegata.dev/relayservers": read, "tegata.dev/relayusers": read, "tegata.dev/deviceresets": read,
		"history.tegata.dev/accessrecords": read, "history.tegata.dev/userusages": "get list",
	},
}

// TestRolesPermitThatAndNoMore asks about every verb of every resource: those of our group as the API server knows
// them, so that a new one is refused until the table says otherwise.
func TestRolesPermitThatAndNoMore(t *testing.T) {
	env := testenv.Shared(t)
	namespace, elsewhere := env.Namespace(t), env.Namespace(t)
	resources := append(ownResources(t, env), others...)
	resources = append(resources, "history.tegata.dev/accessrecords", "history.tegata.dev/userusages")
	for role, want := range permitted {
		t.Run(role, func(t *testing.T) {
			person := bind(t, env.Client, namespace, role)
			testenv.Eventually(t, activation, func() error { return mayRead(t, env.Client, person, namespace) })
			got := map[string]string{}
			for _, resource := range resources {
				if allowed := allowed(t, env.Client, person, namespace, resource); allowed != "" {
					got[resource] = allowed
				}
				if allowed := allowed(t, env.Client, person, elsewhere, resource); allowed != "" {
					t.Errorf("%s may %s %s in another namespace", person, allowed, resource)
				}
			}
			if diff := cmp.Diff(normal(want), normal(got)); diff != "" {
				t.Errorf("what %s permits (-want +got):\n%s", role, diff)
			}
		})
	}
}

// ownResources are the resources and subresources of tegata.dev.
func ownResources(t *testing.T, env *testenv.Env) []string {
	t.Helper()
	c, err := discovery.NewDiscoveryClientForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, resource := range list.APIResources {
		names = append(names, v1alpha1.GroupVersion.Group+"/"+resource.Name)
	}
	if len(names) < 6 {
		t.Fatalf("the API server serves %q only", names)
	}
	return names
}

// bind gives a person of the role's name the role in one namespace.
func bind(t *testing.T, c client.Client, namespace, role string) string {
	t.Helper()
	person := "a-" + role
	if err := c.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: person},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: person}},
	}); err != nil {
		t.Fatal(err)
	}
	return person
}

// allowed are the verbs that the authorizer permits, in the order of verbs.
func allowed(t *testing.T, c client.Client, person, namespace, resource string) string {
	t.Helper()
	var permitted []string
	for _, verb := range verbs {
		if may(t, c, person, namespace, verb, resource) {
			permitted = append(permitted, verb)
		}
	}
	return strings.Join(permitted, " ")
}

// may asks the authorizer about GROUP/RESOURCE or GROUP/RESOURCE/SUBRESOURCE.
func may(t *testing.T, c client.Client, person, namespace, verb, name string) bool {
	t.Helper()
	group, rest, _ := strings.Cut(name, "/")
	resource, subresource, _ := strings.Cut(rest, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: person, Groups: []string{"system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource,
		},
	}}
	if err := c.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func mayRead(t *testing.T, c client.Client, person, namespace string) error {
	t.Helper()
	return mayDo(t, c, person, namespace, "get", "tegata.dev/relayusers")
}

// normal sorts the verbs, so that two tellings of the same are equal.
func normal(table map[string]string) map[string][]string {
	sorted := map[string][]string{}
	for resource, verbs := range maps.All(table) {
		sorted[resource] = slices.Sorted(slices.Values(strings.Fields(verbs)))
	}
	return sorted
}

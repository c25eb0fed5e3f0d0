package rbac_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestBuiltInRoles: who has admin in a namespace administers its relays. Who has edit or view there does not so much
// as see them.
func TestBuiltInRoles(t *testing.T) {
	c := aggregatingCluster(t)
	const namespace = "relays"
	for _, object := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	admin, edit, view := bind(t, c, namespace, "admin"), bind(t, c, namespace, "edit"), bind(t, c, namespace, "view")
	testenv.Eventually(t, activation, func() error { return mayRead(t, c, admin, namespace) })
	for resource, want := range permitted["tegata-admin"] {
		if got := allowed(t, c, admin, namespace, resource); got != want {
			t.Errorf("admin may %q %s, want %q", got, resource, want)
		}
		// Permitted by its own, so it is bound; and all that aggregates was put together for admin.
		testenv.Eventually(t, activation, func() error { return mayDo(t, c, edit, namespace, "create", "/configmaps") })
		testenv.Eventually(t, activation, func() error { return mayDo(t, c, view, namespace, "get", "/configmaps") })
		for _, person := range []string{edit, view} {
			if got := allowed(t, c, person, namespace, resource); got != "" {
				t.Errorf("%s may %s %s", person, got, resource)
			}
		}
	}
	for _, name := range []string{"edit", "view"} {
		neverSelects(t, c, name)
	}
}

func mayDo(t *testing.T, c client.Client, person, namespace, verb, resource string) error {
	t.Helper()
	if !may(t, c, person, namespace, verb, resource) {
		return fmt.Errorf("%s may not yet %s %s", person, verb, resource)
	}
	return nil
}

// neverSelects checks what the controller will ever do, of which the authorizer shows only what it has done.
func neverSelects(t *testing.T, c client.Client, name string) {
	t.Helper()
	role := &rbacv1.ClusterRole{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: name}, role); err != nil {
		t.Fatal(err)
	}
	if role.AggregationRule == nil {
		t.Fatalf("%s aggregates nothing", name)
	}
	roles := &rbacv1.ClusterRoleList{}
	if err := c.List(t.Context(), roles); err != nil {
		t.Fatal(err)
	}
	for _, own := range roles.Items {
		if _, is := permitted[own.Name]; !is {
			continue
		}
		for _, selector := range role.AggregationRule.ClusterRoleSelectors {
			selects, err := metav1.LabelSelectorAsSelector(&selector)
			if err != nil {
				t.Fatal(err)
			}
			if selects.Matches(labels.Set(own.Labels)) {
				t.Errorf("%s takes %s in", name, own.Name)
			}
		}
	}
}

// aggregatingCluster has the controller that puts roles together, and our roles.
func aggregatingCluster(t *testing.T) client.Client {
	t.Helper()
	c := testenv.NewWithControllers(t).Client
	if err := testenv.Apply(t.Context(), c, "tegata-system", "."); err != nil {
		t.Fatal(err)
	}
	return c
}

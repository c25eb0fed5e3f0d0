package directory

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/nas"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestRADIUSClientsAreFollowed: clients come and go with the RelayServer and with the Secret, whichever is first.
func TestRADIUSClientsAreFollowed(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	f := follow(t, env, namespace)
	becomes := func(want string) {
		t.Helper()
		testenv.Eventually(t, soon, func() error {
			got := "no table"
			if table := f.RADIUS(); table != nil {
				got = "nobody"
				if c := table.ByAddress(netip.MustParseAddr("192.0.2.1")); c != nil {
					got = c.Name + " with " + string(c.Secret())
				}
			}
			if got != want {
				return fmt.Errorf("192.0.2.1 is of %s, want %s", got, want)
			}
			return nil
		})
	}
	becomes("no table")
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: nas.SecretName(server)},
		StringData: map[string]string{"vpn": "0123456789abcdef", "other": "fedcba9876543210"},
	}
	create(t, env, secret)
	relay := create(t, env, testenv.Server(namespace, server, func(s *v1alpha1.RelayServer) {
		s.Spec.RADIUS = &v1alpha1.RADIUS{Clients: []v1alpha1.RADIUSClient{{
			Name: "vpn", CIDRs: []v1alpha1.CIDR{"192.0.2.0/24"}, SecretRef: &v1alpha1.LocalReference{Name: "s"},
		}}}
	}))
	becomes("vpn with 0123456789abcdef")

	before := secret.DeepCopy()
	secret.Data["vpn"] = []byte("another-secret-of-them")
	if err := env.Client.Patch(t.Context(), secret, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	becomes("vpn with another-secret-of-them")
	remove(t, env, secret)
	becomes("nobody")
	remove(t, env, relay)
	becomes("no table")
}

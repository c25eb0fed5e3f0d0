package acceptance

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestForeignSecretsAreNotGranted: whoever may create RelayServers must not, by a server's name, have the
// manager let its sidecars read Secrets that are somebody else's.
func TestForeignSecretsAreNotGranted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t))
	for server, secret := range map[string]string{"db": "db-keys", "web": "web-credentials-7"} {
		w.create(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: secret}, StringData: map[string]string{"root": "hunter2"},
		})
		w.create(testenv.Server(w.namespace, server))
		w.eventually(func() error {
			var s v1alpha1.RelayServer
			if err := w.env.Client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: server}, &s); err != nil {
				return err
			}
			if c := condition(s.Status.Conditions, v1alpha1.ConditionReady); c == nil || c.Reason != v1alpha1.ReasonNameTaken {
				return errNotYet("%s is %+v", server, c)
			}
			return nil
		})
		as, err := client.New(w.env.ServiceAccountConfig(t, w.namespace, server+"-sidecar"), client.Options{Scheme: w.env.Scheme})
		must(t, err)
		err = as.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: secret}, &corev1.Secret{})
		if !apierrors.IsForbidden(err) {
			t.Errorf("the sidecars of %s may read %s: %v", server, secret, err)
		}
	}
}

// TestCredentialSecretsAreTaken: once a server is Ready, none of the names of its credential Secrets is left
// for somebody who may create Secrets.
func TestCredentialSecretsAreTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t))
	for _, name := range credential.SecretNames(serverName) {
		err := w.env.Client.Create(context.Background(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}})
		if !apierrors.IsAlreadyExists(err) {
			t.Errorf("create %s: %v, want it to exist", name, err)
		}
	}
}

// TestTerminatingUserIsRefused: a user whose deletion waits for a finalizer does not log in meanwhile.
func TestTerminatingUserIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t))
	w.addUser("leaver", testenv.Mobile, func(u *v1alpha1.RelayUser) { u.Finalizers = []string{"example.com/archive"} })
	s := w.startSidecar()
	w.mustLogin(s, phone("leaver", oldPhone))
	must(t, w.env.Client.Delete(context.Background(), w.user("leaver")))
	w.eventually(func() error {
		if got, err := s.tryLogin(phone("leaver", oldPhone)); err != nil || got.allowed() {
			return errNotYet("a user that is being deleted is let in: %v", err)
		}
		return nil
	})
	w.kubectl("", "patch", "relayuser", "leaver", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
}

package controllers_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// serverReady waits for the server asp1.
func (w *world) serverReady() {
	w.Helper()
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServerReady, "")
}

func TestServerGetsItsKeysAndAccess(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()

	server, keys := w.server(), w.secret("asp1-keys")
	ring, err := fingerprint.ParseKeyring(keys.Data)
	w.must(err)
	if server.Status.FingerprintKeyID != ring.CurrentID() {
		t.Errorf("fingerprintKeyID is %q, want %q", server.Status.FingerprintKeyID, ring.CurrentID())
	}
	wantLabels := map[string]string{v1alpha1.LabelSecretType: "keys", v1alpha1.LabelRelayServer: "asp1"}
	if diff := cmp.Diff(wantLabels, keys.Labels); diff != "" {
		t.Errorf("labels of the key Secret (-want +got):\n%s", diff)
	}
	for _, object := range []client.Object{keys, &corev1.ServiceAccount{}, &rbacv1.Role{}, &rbacv1.RoleBinding{}} {
		if object != keys {
			get(w, "asp1-sidecar", object)
		}
		if !metav1.IsControlledBy(object, server) {
			t.Errorf("%T %s does not belong to the server", object, object.GetName())
		}
	}
	w.serverBecomes(v1alpha1.ConditionSidecarsLive, metav1.ConditionFalse, v1alpha1.ReasonNoLiveSidecar, "")
}

func TestSidecarRoleIsExactlyThis(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()

	read := []string{"get", "list", "watch"}
	want := []rbacv1.PolicyRule{
		{APIGroups: []string{"tegata.dev"}, Resources: []string{"relayusers"}, Verbs: read},
		{APIGroups: []string{"tegata.dev"}, Resources: []string{"relayusers/status"}, Verbs: []string{"patch", "serve"}},
		{APIGroups: []string{"tegata.dev"}, Resources: []string{"relayservers"}, ResourceNames: []string{"asp1"}, Verbs: read},
		{
			APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: read,
			ResourceNames: append([]string{"asp1-keys", "asp1-radius"}, credential.SecretNames("asp1")...),
		},
		{
			APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"},
			Verbs: []string{"create", "get", "update", "patch", "delete"},
		},
		{APIGroups: []string{"history.tegata.dev"}, Resources: []string{"accesslogs/records"}, ResourceNames: []string{"asp1"}, Verbs: []string{"create"}},
	}
	if diff := cmp.Diff(want, get(w, "asp1-sidecar", &rbacv1.Role{}).Rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestSidecarAccessIsRestored(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()
	want := get(w, "asp1-sidecar", &rbacv1.Role{}).Rules

	role := get(w, "asp1-sidecar", &rbacv1.Role{})
	edit(w, role, func(o *rbacv1.Role) {
		o.Rules = append(o.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})
	})
	w.delete(get(w, "asp1-sidecar", &rbacv1.RoleBinding{}))

	w.eventually(func() error {
		if diff := cmp.Diff(want, get(w, "asp1-sidecar", &rbacv1.Role{}).Rules); diff != "" {
			return fmt.Errorf("rules (-want +got):\n%s", diff)
		}
		key := client.ObjectKey{Namespace: w.namespace, Name: "asp1-sidecar"}
		return w.env.Client.Get(w.Context(), key, &rbacv1.RoleBinding{})
	})
}

func TestForeignObjectsAreLeftAlone(t *testing.T) {
	for name, object := range map[string]client.Object{
		"a Secret": &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "asp1-keys"}, StringData: map[string]string{"mine": "1"}},
		"a labelled Secret of another server": &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "asp1-keys", Labels: map[string]string{
			v1alpha1.LabelSecretType: "keys", v1alpha1.LabelRelayServer: "asp2",
		}}},
		"a Secret for RADIUS": &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "asp1-radius"}, StringData: map[string]string{"vpn": "mine"}},
		"a ServiceAccount":    &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "asp1-sidecar"}},
		"a Role":              &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "asp1-sidecar"}},
		"a RoleBinding": &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "asp1-sidecar"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "other"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			object.SetNamespace(w.namespace)
			w.create(object)
			before := object.GetResourceVersion()
			w.startManager()
			w.create(testenv.Server(w.namespace, "asp1"))

			w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNameTaken, object.GetName())
			w.must(w.env.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object))
			if after := object.GetResourceVersion(); after != before {
				t.Errorf("it was changed: resourceVersion %s, was %s", after, before)
			}
		})
	}
}

func TestLostKeysAreNotMadeAnew(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"), testenv.User(w.namespace, "taro", "asp1"))
	w.serverReady()
	w.userReady("taro")
	backup := w.secret("asp1-keys")

	w.delete(w.secret("asp1-keys"))
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonKeySecretMissing,
		"Keep this RelayServer, and apply the Secret from a backup. Only if there is none: delete and re-create the RelayServer, "+
			"restart its sidecars, and reset every device of its users")
	w.userBecomes("taro", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonServerNotReady, "KeySecretMissing")
	if w.secret("asp1-keys") != nil {
		t.Fatal("the key Secret was made anew")
	}

	// A Secret with other keys is no backup.
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asp1-keys", Labels: backup.Labels}, Data: fingerprint.NewSecretData()}
	w.create(other)
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonKeySecretInvalid,
		"under which devices are bound. Keep this RelayServer and a copy of the Secret, and apply the one from a backup, which adds that key (kubectl apply)")
	edit(w, other, func(s *corev1.Secret) { maps.Copy(s.Data, backup.Data) })
	w.serverReady()

	// What cannot be read is replaced.
	edit(w, other, func(s *corev1.Secret) { s.Data["fingerprint.K"] = []byte("x") })
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonKeySecretInvalid,
		"Keep this RelayServer and a copy of the Secret, and replace it by one from a backup (kubectl replace)")
	w.delete(w.secret("asp1-keys"))

	// Restored without its owner, as from a backup of data and labels only.
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asp1-keys", Labels: backup.Labels}, Data: backup.Data})
	w.serverReady()
	w.userReady("taro")
	if !metav1.IsControlledBy(w.secret("asp1-keys"), w.server()) {
		t.Error("the restored Secret does not belong to the server")
	}
}

// TestKeysOfADeletedServer takes the way that the message tells, by which no device is lost.
func TestKeysOfADeletedServer(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()
	before := w.secret("asp1-keys")
	w.delete(w.server())
	w.create(testenv.Server(w.namespace, "asp1")) // and nobody collects garbage here
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNameTaken,
		"To keep the old ones: copy the Secret or have a backup, delete the RelayServer, wait until the Secret is gone, "+
			"create it without ownerReferences, then the RelayServer, and restart the sidecars")

	w.delete(w.server())
	w.delete(w.secret("asp1-keys"))
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asp1-keys", Labels: before.Labels}, Data: before.Data})
	w.create(testenv.Server(w.namespace, "asp1"))
	w.eventually(func() error {
		if !metav1.IsControlledBy(w.secret("asp1-keys"), w.server()) {
			return errors.New("the restored Secret does not belong to the server")
		}
		return nil
	})
	if !maps.EqualFunc(before.Data, w.secret("asp1-keys").Data, bytes.Equal) {
		t.Error("the keys are others")
	}
}

func TestKeysWithoutLabelsAreNobodys(t *testing.T) {
	w := managedWorld(t)
	backup := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asp1-keys"}, Data: fingerprint.NewSecretData()}
	w.create(backup, testenv.Server(w.namespace, "asp1"))
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNameTaken,
		"If it holds this server's keys, from a backup, it needs the labels tegata.dev/relay-server=asp1,tegata.dev/secret-type=keys and no ownerReferences")
	edit(w, backup, func(s *corev1.Secret) {
		s.Labels = map[string]string{"tegata.dev/relay-server": "asp1", "tegata.dev/secret-type": "keys"}
	})
	w.serverReady()
}

func TestKeysGetTheirLabelsBack(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()
	keys := w.secret("asp1-keys")
	labels := keys.Labels
	edit(w, keys, func(s *corev1.Secret) { s.Labels = nil })
	w.eventually(func() error {
		if diff := cmp.Diff(labels, w.secret("asp1-keys").Labels); diff != "" {
			return fmt.Errorf("labels (-want +got):\n%s", diff)
		}
		return nil
	})
	w.serverReady()
	if diff := cmp.Diff(keys.Data, w.secret("asp1-keys").Data); diff != "" {
		t.Error("the keys were changed")
	}
}

func TestKeysOutliveTheManager(t *testing.T) {
	w := newWorld(t)
	stop := w.startManager()
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()
	before := w.secret("asp1-keys")
	stop()

	w.startManager()
	server := w.server()
	edit(w, server, func(o *v1alpha1.RelayServer) {
		o.Spec.Enrollment = v1alpha1.EnrollmentReservedOnly
	})
	w.serverReady()
	if diff := cmp.Diff(before.Data, w.secret("asp1-keys").Data); diff != "" {
		t.Errorf("keys changed (-before +after):\n%s", diff)
	}
}

func TestServerCountsUsersAndDevices(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	for i := range 5 {
		w.create(testenv.User(w.namespace, fmt.Sprintf("user-%d", i), "asp1"))
	}
	w.create(testenv.User(w.namespace, "elsewhere", "asp2"))
	w.bind("user-1", v1alpha1.SlotPC, "first")
	w.bind("user-2", v1alpha1.SlotMobile, "second")
	counts := func(users, bound int32) func() error {
		return func() error {
			s := w.server().Status
			if s.Users != users || s.BoundDevices != bound {
				return fmt.Errorf("%d users and %d devices, want %d and %d", s.Users, s.BoundDevices, users, bound)
			}
			return nil
		}
	}
	w.eventually(counts(5, 2))
	w.delete(w.user("user-1"))
	w.eventually(counts(4, 1))
}

func TestDeletedUsersLeaveNoCredential(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"), testenv.User(w.namespace, "gone", "asp1"), testenv.User(w.namespace, "stays", "asp1"))
	w.userReady("gone")
	w.userReady("stays")
	gone, stays := w.user("gone"), w.user("stays")
	if w.entry(gone) == nil || w.entry(stays) == nil {
		t.Fatal("no credential to begin with")
	}
	w.delete(gone)
	w.eventually(func() error {
		if w.entry(gone) != nil {
			return errors.New("the credential of the deleted user is still there")
		}
		return nil
	})
	if w.entry(stays) == nil {
		t.Error("the credential of the other user is gone too")
	}
}

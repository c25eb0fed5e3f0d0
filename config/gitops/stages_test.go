package gitops_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/liveness"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	server = "RelayServer"
	user   = "RelayUser"
	reset  = "DeviceReset"
)

// lastDocument is the last one of a YAML stream.
func lastDocument(content []byte) []byte {
	documents := bytes.Split(content, []byte("\n---\n"))
	return documents[len(documents)-1]
}

func (w *world) change(name string, mutate func(*v1alpha1.RelayUser)) {
	w.Helper()
	testenv.Eventually(w, soon, func() error {
		u := &v1alpha1.RelayUser{}
		if err := w.env.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, u); err != nil {
			return err
		}
		_, err := statuspatch.Apply(w.Context(), w.env.Client, u, mutate)
		return err
	})
}

func (w *world) bind(name, id string) {
	w.Helper()
	w.change(name, func(u *v1alpha1.RelayUser) {
		binding.Bind(&u.Status, v1alpha1.SlotPC, v1alpha1.Binding{
			ID: id, Digest: v1alpha1.DeviceDigest("k1:" + (id + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")[:43]),
			Kind: v1alpha1.FingerprintOpaque, RegisteredTime: metav1.Now(),
		})
	})
}

func (w *world) edit(object client.Object, mutate func()) {
	w.Helper()
	w.must(w.env.Client.Get(w.Context(), client.ObjectKeyFromObject(object), object))
	before, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		w.Fatalf("%T is no object", object)
	}
	mutate()
	w.must(w.env.Client.Patch(w.Context(), object, client.MergeFrom(before)))
}

func (w *world) newReset(name, of string) *v1alpha1.DeviceReset {
	return &v1alpha1.DeviceReset{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.DeviceResetSpec{UserRef: &v1alpha1.LocalReference{Name: of}, Slots: []v1alpha1.Slot{v1alpha1.SlotPC}},
	}
}

// silentSidecar is a live sidecar that never says what it has seen.
func (w *world) silentSidecar() *coordinationv1.Lease {
	w.Helper()
	now, seconds, holder := metav1.NowMicro(), int32(3600), "silent"
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: liveness.LeaseNamePrefix("asp1") + "silent", Labels: liveness.Labels("asp1")},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
	w.create(lease)
	return lease
}

// TestHealthOfServers tells, at each stage, what each tool makes of it.
func TestHealthOfServers(t *testing.T) {
	w := newWorld(t)
	asp1 := testenv.Server(w.namespace, "asp1")
	w.create(asp1)
	w.reads("applied; no manager has seen it", server, "asp1", "", notYet)
	w.startManager()
	w.reads("ready; no sidecar yet", server, "asp1", v1alpha1.ReasonNoLiveSidecar, good)
	w.stop()
	w.edit(asp1, func() { asp1.Spec.Host = "other.example.com" })
	w.reads("changed; no manager has seen the change", server, "asp1", "", notYet)
	w.startManager()
	w.reads("the change is carried out", server, "asp1", "", good)

	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asp2-keys"}})
	w.create(testenv.Server(w.namespace, "asp2"))
	w.reads("a name is taken", server, "asp2", v1alpha1.ReasonNameTaken, blocked)

	w.edit(asp1, func() { asp1.Finalizers = []string{"example.com/held"} })
	w.must(w.env.Client.Delete(t.Context(), asp1))
	testenv.Eventually(t, soon, func() error {
		got, _, err := w.read(server, "asp1")
		if err == nil && got.kstatus != "Terminating" {
			t.Errorf("a server that is deleted is read as %+v", got)
		}
		return err
	})
	w.edit(asp1, func() { asp1.Finalizers = nil })
}

func TestHealthOfUsers(t *testing.T) {
	w := newWorld(t)
	taro := testenv.User(w.namespace, "taro", "asp1", testenv.WithPasswordSecret("taro-password"))
	w.create(taro)
	w.reads("applied; no manager has seen it", user, "taro", "", notYet)
	w.startManager()
	w.reads("its server is not there", user, "taro", v1alpha1.ReasonServerNotFound, notYet)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.reads("its password is not there", user, "taro", v1alpha1.ReasonPasswordSecretNotFound, notYet)
	w.create(testenv.PasswordSecret(w.namespace, "taro-password", "correct-horse-battery"))
	w.reads("ready", user, "taro", v1alpha1.ReasonUserReady, good)
	w.bind("taro", "phone")
	w.change("taro", func(u *v1alpha1.RelayUser) {
		now := metav1.Now()
		u.Status.LastFailure = v1alpha1.LastFailure{Reason: v1alpha1.ReasonDeviceMismatch, Time: &now}
		u.Status.RecentFailures = []v1alpha1.LoginFailure{{
			Reason: v1alpha1.ReasonDeviceMismatch, FirstTime: now, LastTime: now, Count: 1, Slot: v1alpha1.SlotPC,
		}}
	})
	// A new phone is the help desk's work, and no reason to stop a roll-out.
	w.reads("a login failed, and a reset would help", user, "taro", v1alpha1.ReasonResetHelps, good)
	w.edit(taro, func() { taro.Spec.Suspended = true })
	w.reads("suspended, as was asked for", user, "taro", v1alpha1.ReasonUserReady, good)

	second := testenv.User(w.namespace, "taro-again", "asp1")
	second.Spec.UserName = "taro"
	w.create(second)
	w.reads("another has its login name", user, "taro-again", v1alpha1.ReasonUserNameConflict, blocked)
	weak := testenv.PasswordSecret(w.namespace, "hanako-password", "")
	w.create(weak, testenv.User(w.namespace, "hanako", "asp1", testenv.WithPasswordSecret("hanako-password")))
	w.reads("its password is refused", user, "hanako", v1alpha1.ReasonPasswordRefused, blocked)
}

func TestHealthOfResets(t *testing.T) {
	w := newWorld(t)
	w.create(w.newReset("first", "taro"))
	w.reads("applied; no manager has seen it", reset, "first", "", notYet)
	w.startManager()
	w.reads("its user is not there", reset, "first", v1alpha1.ReasonWaitingForUser, notYet)
	w.create(testenv.Server(w.namespace, "asp1"), testenv.User(w.namespace, "taro", "asp1"))
	w.reads("there was nothing to clear", reset, "first", v1alpha1.ReasonNothingToClear, good)

	w.bind("taro", "old")
	lease := w.silentSidecar()
	w.create(w.newReset("second", "taro"))
	w.reads("a sidecar has not confirmed", reset, "second", v1alpha1.ReasonEnforcing, notYet)
	w.must(w.env.Client.Delete(t.Context(), lease))
	w.reads("carried out", reset, "second", v1alpha1.ReasonCleared, good)

	nobody := w.newReset("third", "nobody")
	nobody.Spec.ActiveDeadlineSeconds = 1
	w.create(nobody)
	w.reads("its user did not come", reset, "third", v1alpha1.ReasonUserNotFound, failed)
}

// TestResetsDoNotRepeat: what a tool prunes, and what a TTL removes, is applied again by the next sync (promise 3).
func TestResetsDoNotRepeat(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	w.create(testenv.Server(w.namespace, "asp1"), testenv.User(w.namespace, "taro", "asp1"))
	w.reads("ready", user, "taro", v1alpha1.ReasonUserReady, good)
	for name, remove := range map[string]func(*v1alpha1.DeviceReset){
		"pruned":  func(r *v1alpha1.DeviceReset) { w.must(w.env.Client.Delete(t.Context(), r)) },
		"expired": func(*v1alpha1.DeviceReset) {}, // the manager removes it
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, env: w.env, namespace: w.namespace}
			w.bind("taro", "old-"+name)
			applied := func() *v1alpha1.DeviceReset {
				r := w.newReset(name, "taro")
				if name == "expired" {
					r.Spec.TTLSecondsAfterFinished = new(int32(1))
				}
				return r
			}
			first := applied()
			w.create(first)
			testenv.Eventually(t, soon, func() error { return w.holds("taro", "") })
			if name == "pruned" {
				w.reads("carried out", reset, name, v1alpha1.ReasonCleared, good)
			}
			remove(first)
			testenv.Eventually(t, soon, func() error {
				if _, err := w.get(reset, name); client.IgnoreNotFound(err) != nil || err == nil {
					return errStillThere
				}
				return nil
			})
			w.bind("taro", "new-"+name)
			again := applied()
			again.Spec.TTLSecondsAfterFinished = nil
			w.create(again)
			w.reads("applied again", reset, name, v1alpha1.ReasonAlreadyHandled, good)
			w.must(w.holds("taro", "new-"+name))
			w.must(w.env.Client.Delete(t.Context(), w.newReset(name, "taro")))
			w.create(w.newReset(name+"-cleanup", "taro"))
			testenv.Eventually(t, soon, func() error { return w.holds("taro", "") })
		})
	}
}

var errStillThere = errors.New("the reset is still there")

// holds says whether the user's PC is bound by that binding, none when it is empty.
func (w *world) holds(name, id string) error {
	u := &v1alpha1.RelayUser{}
	if err := w.env.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, u); err != nil {
		return err
	}
	got := ""
	for i := range u.Status.Slots {
		if slot := &u.Status.Slots[i]; slot.Slot == v1alpha1.SlotPC && slot.Binding != nil {
			got = slot.Binding.ID
		}
	}
	if got != id {
		return fmt.Errorf("the PC of %s is bound by %q, want %q", name, got, id)
	}
	return nil
}

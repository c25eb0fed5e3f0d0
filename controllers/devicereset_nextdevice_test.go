package controllers_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// forDevice makes a reset one after which only that device may register.
func forDevice(next v1alpha1.DeviceDigest) func(*v1alpha1.DeviceReset) {
	return func(r *v1alpha1.DeviceReset) { r.Spec.NextDevice = next }
}

// isReservedFor checks that a user's phone can only be that device.
func (w *world) isReservedFor(user string, want v1alpha1.DeviceDigest) {
	w.Helper()
	slot := binding.Find(&w.user(user).Status, v1alpha1.SlotMobile)
	if slot.State != v1alpha1.SlotReserved || slot.ReservedFor != want {
		w.Errorf("mobile of %s is %s for %q, want it reserved for %q", user, slot.State, slot.ReservedFor, want)
	}
}

func TestNextDeviceUnderAnUnknownKey(t *testing.T) {
	w := resetWorld(t)
	w.create(w.aReset("shut", "taro", onMobile, forDevice(digestUnder("gone", "new"))))
	message := fmt.Sprintf("nextDevice was made under the key gone, which RelayServer asp1 does not have "+
		"(it makes digests under %s): no device can be that one, and nothing was freed. Take the digest from a recent "+
		"failure of this user (kubectl get relayuser taro -n %s -o jsonpath='{.status.recentFailures[*].digest}') and "+
		"create another DeviceReset with another name", w.server().Status.FingerprintKeyID, w.namespace)
	w.resetBecomes("shut", metav1.ConditionFalse, v1alpha1.ReasonUnknownKey, message)
	reset := w.reset("shut")
	for _, condition := range []string{v1alpha1.ConditionFailed, v1alpha1.ConditionStalled} {
		w.must(has(reset.Status.Conditions, reset.Generation, condition, metav1.ConditionTrue, v1alpha1.ReasonUnknownKey, message))
	}
	if reset.Status.CompletionTime == nil || len(reset.Status.Noted) > 0 {
		t.Errorf("finished at %v with %v noted", reset.Status.CompletionTime, reset.Status.Noted)
	}
	w.must(slotHolds(w.user("taro"), v1alpha1.SlotMobile, "phone"))
	w.hasEvent("DeviceReset", "shut", "made under the key gone")
}

// A key that is not current any more still tells devices apart.
func TestNextDeviceUnderAnOlderKey(t *testing.T) {
	w := resetWorld(t)
	edit(w, w.secret("asp1-keys"), func(s *corev1.Secret) { s.Data["fingerprint.old"] = make([]byte, 32) })
	next := digestUnder("old", "new")
	w.create(w.aReset("rotated", "taro", onMobile, forDevice(next)))
	w.resetBecomes("rotated", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
	w.isReservedFor("taro", next)
}

// Applied anew after the key has gone, a reset that was carried out is not given up.
func TestNextDeviceHandledBeforeTheKeyWent(t *testing.T) {
	w := resetWorld(t)
	w.change("taro", func(u *v1alpha1.RelayUser) {
		binding.Release{
			Slot: v1alpha1.SlotMobile, BindingID: "phone", RequestID: "again", UID: "of-the-first",
			NextDevice: digestUnder("gone", "new"), Now: time.Now(),
		}.Apply(&u.Status)
	})
	w.bind("taro", v1alpha1.SlotMobile, "new")
	w.create(w.aReset("again", "taro", onMobile, forDevice(digestUnder("gone", "new"))))
	w.resetBecomes("again", metav1.ConditionTrue, v1alpha1.ReasonAlreadyHandled, "")
	w.must(slotHolds(w.user("taro"), v1alpha1.SlotMobile, "new"))
}

// GitOps applies in any order: keys that are not there, or not yet in order, refuse nobody.
func TestNextDeviceWithoutKeysToCompare(t *testing.T) {
	w := managedWorld(t)
	foreign := testenv.Server(w.namespace, "foreign")
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "foreign-keys"}, Data: fingerprint.NewSecretData()},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "early-keys"}, Data: fingerprint.NewSecretData()}, foreign)
	for name, server := range map[string]string{
		"there is no server":                   "none",
		"there is a Secret, and no server yet": "early",
		"the Secret is somebody else's":        "foreign",
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, env: w.env, namespace: w.namespace}
			next := digestUnder("k1", "new")
			user := "of-" + server
			w.create(testenv.User(w.namespace, user, server, testenv.Combined), w.aReset("for-"+user, user, onMobile, forDevice(next)))
			w.resetBecomes("for-"+user, metav1.ConditionTrue, v1alpha1.ReasonReserved, "is reserved")
			w.isReservedFor(user, next)
		})
	}
}

func TestNextDeviceWhileTheKeysAreLost(t *testing.T) {
	w := resetWorld(t)
	known := w.server().Status.FingerprintKeyID
	w.delete(w.secret("asp1-keys"))
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonKeySecretMissing, "")
	w.create(w.aReset("lost", "taro", onMobile, forDevice(digestUnder(known, "new"))))
	w.resetBecomes("lost", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
	w.isReservedFor("taro", digestUnder(known, "new"))

	// Other keys in its place are not the server's: they must not refuse what the restored ones will know.
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asp1-keys", Labels: map[string]string{
			v1alpha1.LabelSecretType: v1alpha1.SecretTypeKeys, v1alpha1.LabelRelayServer: "asp1",
		}}, Data: fingerprint.NewSecretData(),
	})
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonKeySecretInvalid, "")
	w.create(w.aReset("others", "taro", onMobile, forDevice(digestUnder(known, "newer"))))
	w.resetBecomes("others", metav1.ConditionTrue, v1alpha1.ReasonReserved, "")
	w.isReservedFor("taro", digestUnder(known, "newer"))
}

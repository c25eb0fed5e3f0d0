package controllers_test

import (
	"context"
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/statuspatch"
)

// What a sidecar would write.

// digest is a well-formed digest of a device.
func digest(device string) v1alpha1.DeviceDigest { return digestUnder("k1", device) }

// digestUnder is one that was made under a key.
func digestUnder(key, device string) v1alpha1.DeviceDigest {
	return v1alpha1.DeviceDigest(key + ":" + (device + strings.Repeat("A", 43))[:43])
}

func bindingOf(id string) v1alpha1.Binding {
	return v1alpha1.Binding{
		ID: id, Digest: digest(id), Kind: v1alpha1.FingerprintOpaque, RegisteredTime: metav1.NewTime(time.Now()),
	}
}

// change writes a user's status as a sidecar does, trying again when it meets another writer.
func change(ctx context.Context, c client.Client, namespace, name string, mutate func(*v1alpha1.RelayUser)) error {
	for {
		user := &v1alpha1.RelayUser{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, user); err != nil {
			return err
		}
		_, err := statuspatch.Apply(ctx, c, user, mutate)
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}

func (w *world) change(name string, mutate func(*v1alpha1.RelayUser)) {
	w.Helper()
	w.must(change(w.Context(), w.env.Client, w.namespace, name, mutate))
}

// bind registers a device. Its id is the id of the binding too.
func (w *world) bind(name string, slot v1alpha1.Slot, id string) {
	w.Helper()
	w.change(name, func(u *v1alpha1.RelayUser) { binding.Bind(&u.Status, slot, bindingOf(id)) })
}

// fails records a refused login.
func (w *world) fails(name string, reason v1alpha1.Reason, slot v1alpha1.Slot, at time.Time) {
	w.Helper()
	w.change(name, func(u *v1alpha1.RelayUser) {
		failed := metav1.NewTime(at)
		u.Status.LastFailure = v1alpha1.LastFailure{Reason: reason, Time: &failed}
		u.Status.FailureCount++
		u.Status.RecentFailures = append([]v1alpha1.LoginFailure{{
			Reason: reason, FirstTime: failed, LastTime: failed, Count: 1, Slot: slot,
		}}, u.Status.RecentFailures...)
	})
}

// entry is a user's stored credential, nil when there is none.
func (w *world) entry(user *v1alpha1.RelayUser) *credential.Entry {
	w.Helper()
	shard := w.secret(credential.SecretName(user.Spec.ServerRef.Name, credential.Shard(user.UID)))
	if shard == nil || shard.Data[credential.Key(user.UID)] == nil {
		return nil
	}
	entry, err := credential.Decode(shard.Data[credential.Key(user.UID)])
	w.must(err)
	return &entry
}

// slotHolds says whether a slot holds a binding; empty for none.
func slotHolds(user *v1alpha1.RelayUser, slot v1alpha1.Slot, id string) error {
	held := ""
	if s := binding.Find(&user.Status, slot); s != nil && s.Binding != nil {
		held = s.Binding.ID
	}
	if held != id {
		return errors.New(user.Name + ": " + string(slot) + " holds " + held + ", want " + id)
	}
	return nil
}

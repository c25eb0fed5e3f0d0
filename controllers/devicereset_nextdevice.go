package controllers

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/fingerprint"
)

// checkNextDevice fails when nextDevice was made under a key that the user's server does not have. No device
// has that digest any more, and a slot that is reserved for it would be shut.
func (r *resetReconciler) checkNextDevice(ctx context.Context, reset *v1alpha1.DeviceReset, user *v1alpha1.RelayUser) error {
	if reset.Spec.NextDevice == "" || handledBefore(reset, user) {
		return nil
	}
	server := user.Spec.ServerRef.Name
	ring, err := r.keyring(ctx, user.Namespace, server)
	if err != nil || ring == nil {
		return err // without keys to compare with, it is not refused: they may be on their way
	}
	if id, _, _ := strings.Cut(string(reset.Spec.NextDevice), ":"); !ring.Has(id) {
		return unknownKey(id, ring.CurrentID(), user)
	}
	return nil
}

// handledBefore says that the reset will reserve nothing: it was carried out before, perhaps under keys
// that have gone since, and is applied again.
func handledBefore(reset *v1alpha1.DeviceReset, user *v1alpha1.RelayUser) bool {
	for _, slot := range reset.Spec.Slots {
		if !binding.Handled(&user.Status, slot, reset.EffectiveRequestID()) {
			return false
		}
	}
	return true
}

// keyring is what a server has for keys, nil when there are none as yet that it can use. It reads from the
// API server: a reset must not be given up because a cache does not show a new key.
func (r *resetReconciler) keyring(ctx context.Context, namespace, name string) (*fingerprint.Keyring, error) {
	server, secret := &v1alpha1.RelayServer{}, &corev1.Secret{}
	for key, object := range map[string]client.Object{name: server, fingerprint.SecretName(name): secret} {
		err := r.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: key}, object)
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("get %T %s/%s: %w", object, namespace, key, err)
		}
	}
	ring, _ := keysOf(server, secret) // what is wrong with it is for the server's conditions to say
	return ring, nil
}

func unknownKey(id, current string, user *v1alpha1.RelayUser) *failure {
	return &failure{v1alpha1.ReasonUnknownKey, fmt.Sprintf(
		"nextDevice was made under the key %s, which RelayServer %s does not have (it makes digests under %s): no "+
			"device can be that one, and nothing was freed. Take the digest from a recent failure of this user "+
			"(kubectl get relayuser %s -n %s -o jsonpath='{.status.recentFailures[*].digest}') and create another "+
			"DeviceReset with another name", id, user.Spec.ServerRef.Name, current, user.Name, user.Namespace)}
}

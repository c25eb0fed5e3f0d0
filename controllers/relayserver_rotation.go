package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/session"
)

// rotationMargin is how much longer than maxStaleness a new key is known before it signs: a sidecar that has
// not read it by then admits nobody, whatever the clocks say.
const rotationMargin = 5 * time.Minute

// rotateSessionKeys replaces the keys that sign sessions when it is time, and says how long until it is again.
// It touches no fingerprint key: devices are bound under those.
func (r *serverReconciler) rotateSessionKeys(ctx context.Context, server *v1alpha1.RelayServer) (time.Duration, error) {
	name := types.NamespacedName{Namespace: server.Namespace, Name: fingerprint.SecretName(server.Name)}
	secret := &corev1.Secret{}
	// Not from the cache, which is behind its own writes: a step would be taken twice.
	if err := r.live.Get(ctx, name, secret); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	changes, wait := session.Rotate(secret.Data, r.clock.Now(), session.Rotation{
		Every:   server.Spec.Session.KeyRotation.Duration,
		Overlap: server.Spec.MaxStaleness.Duration + rotationMargin,
		Keep:    session.MaxTTL,
	})
	if len(changes) == 0 {
		return wait, nil
	}
	before := secret.DeepCopy()
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for key, value := range changes {
		if value == nil {
			delete(secret.Data, key)
			continue
		}
		secret.Data[key] = value
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Patch(ctx, secret, patch); err != nil {
		return 0, err
	}
	return wait, nil
}

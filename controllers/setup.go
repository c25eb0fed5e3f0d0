package controllers

import (
	"context"
	"fmt"
	"runtime"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/liveness"
)

// FieldOwner is the field manager of every write.
const FieldOwner = "tegata-manager"

// Options change what production needs no change of.
type Options struct {
	// Clock tells the time; the real one when nil.
	Clock clock.PassiveClock
	// CountDelay gathers changes of users into one count of them; 5 s when zero.
	CountDelay time.Duration
	// SweepDelay gathers deletions of users into one sweep of credentials; 10 s when zero.
	SweepDelay time.Duration
	// SweepAge is how long a credential must have been without a user before it is removed; 1 min when
	// zero.
	SweepAge time.Duration
	// PodDelay gathers pods that come and go together; 200 ms when zero.
	PodDelay time.Duration
	// PodGrace is how long a ServiceAccount keeps the sidecars' rights after the last pod that needs them; 5 min when
	// zero.
	PodGrace time.Duration
	// HashSlots is how many passwords are hashed at once; cores minus one when zero.
	HashSlots int
	// SkipNameValidation permits several managers in one process, which only tests have.
	SkipNameValidation bool
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	o.CountDelay = orElse(o.CountDelay, 5*time.Second)
	o.SweepDelay = orElse(o.SweepDelay, 10*time.Second)
	o.SweepAge = orElse(o.SweepAge, time.Minute)
	o.PodDelay = orElse(o.PodDelay, 200*time.Millisecond)
	o.PodGrace = orElse(o.PodGrace, 5*time.Minute)
	o.HashSlots = orElse(o.HashSlots, max(runtime.GOMAXPROCS(0)-1, 1))
	return o
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// CacheOptions limit the manager's cache to what it works with: in the given namespaces, or in all when
// none is given, the Secrets that are labelled as Tegata's, the Leases of sidecars, of service accounts
// and roles those of sidecars, and the pods that ask for a sidecar and are not over.
func CacheOptions(namespaces []string) (cache.Options, error) {
	secrets, err := labels.NewRequirement(v1alpha1.LabelSecretType, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, fmt.Errorf("select secrets: %w", err)
	}
	servers, err := labels.NewRequirement(v1alpha1.LabelRelayServer, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, fmt.Errorf("select what belongs to servers: %w", err)
	}
	ofServer := cache.ByObject{Label: labels.NewSelector().Add(*servers)}
	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}:         {Label: labels.NewSelector().Add(*secrets)},
			&coordinationv1.Lease{}:  ofServer,
			&corev1.ServiceAccount{}: ofServer,
			&rbacv1.Role{}:           ofServer,
			&rbacv1.RoleBinding{}:    ofServer,
			&corev1.Pod{}: {
				Label: ofServer.Label, Transform: stripPod,
				Field: fields.ParseSelectorOrDie("status.phase!=Succeeded,status.phase!=Failed"),
			},
		},
	}
	for _, namespace := range namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options, nil
}

// Setup adds every controller to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, options Options) error {
	options = options.withDefaults()
	if err := registerMetrics(); err != nil {
		return err
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	sidecars := &liveness.Reader{Client: mgr.GetAPIReader(), Clock: options.Clock}
	for name, setup := range map[string]func(ctrl.Manager, Options) error{
		"relayserver":      newServerReconciler(mgr, options, sidecars).setup,
		"relayuser":        newUserReconciler(mgr, options).setup,
		"devicereset":      newResetReconciler(mgr, options, sidecars).setup,
		"relaypod":         newPodReconciler(mgr, options).setup,
		"credential-sweep": newCredentialSweep(mgr, options).setup,
	} {
		if err := setup(mgr, options); err != nil {
			return fmt.Errorf("set up controller %s: %w", name, err)
		}
	}
	return nil
}

package controllers

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/liveness"
	"github.com/tegata-dev/tegata/internal/statuspatch"
)

// serverReconciler makes what a server needs, and counts its sidecars, users and devices.
type serverReconciler struct {
	client.Client
	live       client.Reader
	clock      clock.PassiveClock
	sidecars   *liveness.Reader
	countDelay time.Duration
}

func newServerReconciler(mgr ctrl.Manager, o Options, sidecars *liveness.Reader) *serverReconciler {
	return &serverReconciler{
		Client: mgr.GetClient(), live: mgr.GetAPIReader(), clock: o.Clock, sidecars: sidecars, countDelay: o.CountDelay,
	}
}

func (r *serverReconciler) setup(mgr ctrl.Manager, o Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("relayserver").
		For(&v1alpha1.RelayServer{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&corev1.ServiceAccount{}).
		Owns(&rbacv1.Role{}).
		Owns(&rbacv1.RoleBinding{}).
		// By label and not by owner: one that is in the way has another owner, or none.
		Watches(&corev1.Secret{}, enqueueServerOf(), builder.WithPredicates(predicate.NewPredicateFuncs(isKeySecret))).
		Watches(&corev1.Secret{}, enqueueServerOf(), builder.WithPredicates(predicate.NewPredicateFuncs(isRADIUSCopy))).
		Watches(&corev1.Secret{}, enqueueServerOf(), builder.WithPredicates(shardGoes())).
		Watches(&corev1.Secret{}, r.enqueueServersOfClient(), builder.WithPredicates(predicate.NewPredicateFuncs(isRADIUSSecret))).
		Watches(&coordinationv1.Lease{}, r.leaseHandler()).
		Watches(&v1alpha1.RelayUser{}, r.countHandler()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2, SkipNameValidation: &o.SkipNameValidation}).
		Complete(r)
}

// serverFindings are what a reconcile found of a server.
type serverFindings struct {
	ready                           condition
	radius                          *condition // nil when there is nothing to say
	keyID                           string
	history                         historyFindings
	liveSidecars, users, boundSlots int32
	// wait is how long until something is to be looked at again.
	wait time.Duration
}

// Reconcile brings one server up to date.
func (r *serverReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	server := &v1alpha1.RelayServer{}
	if err := r.Get(ctx, req.NamespacedName, server); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if server.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	found, err := r.provide(ctx, server)
	if err != nil {
		return outcome(0, err)
	}
	if err := r.observe(ctx, server, &found); err != nil {
		return outcome(0, err)
	}
	_, err = statuspatch.Apply(ctx, r, server, func(s *v1alpha1.RelayServer) { r.report(s, found) })
	return outcome(found.wait, err)
}

// provide makes what the server needs. What stands in its way is a condition, not an error: somebody has
// to decide.
func (r *serverReconciler) provide(ctx context.Context, server *v1alpha1.RelayServer) (serverFindings, error) {
	found := serverFindings{
		keyID: server.Status.FingerprintKeyID,
		ready: is(v1alpha1.ConditionReady, v1alpha1.ReasonServerReady,
			"keys, credentials and the sidecars' permissions are in place"),
	}
	keyID, problem, err := r.ensureKeys(ctx, server)
	if err != nil {
		return found, err
	}
	if keyID != "" {
		found.keyID = keyID
	}
	if problem == nil {
		if found.wait, err = r.rotateSessionKeys(ctx, server); err != nil {
			return found, fmt.Errorf("rotate session keys of %s/%s: %w", server.Namespace, server.Name, err)
		}
	}
	// In this order: the sidecars may read what bears these names only once all of it is known to be ours.
	for _, ensure := range []func(context.Context, *v1alpha1.RelayServer) (*obstacle, error){
		r.ensureShards,
		func(ctx context.Context, server *v1alpha1.RelayServer) (*obstacle, error) {
			return r.ensureRADIUS(ctx, server, &found)
		},
		r.ensureSidecarAccess,
	} {
		if problem != nil {
			break
		}
		if problem, err = ensure(ctx, server); err != nil {
			return found, err
		}
	}
	if problem != nil {
		found.ready = isNot(v1alpha1.ConditionReady, problem.reason, problem.message)
		// What is in the way may bear no label of ours, and then nothing tells when it is gone.
		found.wait = earliest(found.wait, obstacleRetry)
	}
	return found, nil
}

// obstacle is something that only a person can remove.
type obstacle struct{ reason, message string }

// obstacleRetry is how often it is looked whether somebody has.
const obstacleRetry = 30 * time.Second

func nameTaken(kind, name string, server *v1alpha1.RelayServer) *obstacle {
	return &obstacle{v1alpha1.ReasonNameTaken, fmt.Sprintf(
		"%s %s exists and does not belong to RelayServer %s: it is left alone; delete it or rename it, or "+
			"give the RelayServer another name", kind, name, server.Name)}
}

// observe counts.
func (r *serverReconciler) observe(ctx context.Context, server *v1alpha1.RelayServer, found *serverFindings) error {
	wait, err := r.countSidecars(ctx, server, found)
	if err != nil {
		return err
	}
	found.wait = earliest(found.wait, wait)
	if left := lossUntil(server.Status.History).Sub(r.clock.Now()); left > 0 {
		found.wait = earliest(found.wait, left)
	}
	return r.countUsers(ctx, server, found)
}

func (r *serverReconciler) report(server *v1alpha1.RelayServer, found serverFindings) {
	status := &server.Status
	status.ObservedGeneration = server.Generation
	status.FingerprintKeyID = found.keyID
	status.LiveSidecars = found.liveSidecars
	status.Users = found.users
	status.BoundDevices = found.boundSlots
	set(&status.Conditions, server.Generation, metav1.NewTime(r.clock.Now()), found.ready, sidecarsLive(found.liveSidecars))
	r.reportRADIUS(server, found)
	r.reportHistory(server, &found)
}

func sidecarsLive(n int32) condition {
	switch n {
	case 0:
		return isNot(v1alpha1.ConditionSidecarsLive, v1alpha1.ReasonNoLiveSidecar,
			"no sidecar holds a current Lease, so nobody can log in")
	case 1:
		return is(v1alpha1.ConditionSidecarsLive, v1alpha1.ReasonSidecarsLive, "1 sidecar holds a current Lease")
	}
	return is(v1alpha1.ConditionSidecarsLive, v1alpha1.ReasonSidecarsLive, fmt.Sprintf("%d sidecars hold a current Lease", n))
}

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
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

const (
	// resetWorkers is how many resets are worked on at once, so that a small one need not wait for a large.
	resetWorkers = 4
	// nextWindow is how soon a reset goes on: at once, after others that wait.
	nextWindow = time.Millisecond
)

// resetReconciler carries resets out. Each reconcile does one window of users at most:
//
//	begin    find the users; wait for them, or give up
//	note     store, in the reset's status, which bindings are held now
//	release  clear those, and only those; then note the next window, or go on
//	enforce  wait until every live sidecar has observed the last of it
//	expire   delete the reset when its time is over
//
// What is noted is stored before anything is cleared. So a manager that stops anywhere, and its successor,
// clear what the first look saw: a device that has registered since stays.
type resetReconciler struct {
	client.Client
	live     client.Reader
	clock    clock.PassiveClock
	sidecars *liveness.Reader
	recorder events.EventRecorder
	targets  *targetMemory
	records  *recordBook
}

func newResetReconciler(mgr ctrl.Manager, o Options, sidecars *liveness.Reader) *resetReconciler {
	return &resetReconciler{
		Client: mgr.GetClient(), live: mgr.GetAPIReader(), clock: o.Clock, sidecars: sidecars,
		recorder: mgr.GetEventRecorder(FieldOwner), targets: newTargetMemory(),
		records: &recordBook{Client: mgr.GetClient(), live: mgr.GetAPIReader()},
	}
}

func (r *resetReconciler) setup(mgr ctrl.Manager, o Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("devicereset").
		For(&v1alpha1.DeviceReset{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.RelayUser{}, r.enqueueWaiting(), builder.WithPredicates(appearsOrIsRelabelled())).
		Watches(&coordinationv1.Lease{}, r.enqueueEnforcing()).
		WithOptions(controller.Options{MaxConcurrentReconciles: resetWorkers, SkipNameValidation: &o.SkipNameValidation}).
		Complete(r)
}

// Reconcile takes one reset one step further.
func (r *resetReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	reset := &v1alpha1.DeviceReset{}
	if err := r.Get(ctx, req.NamespacedName, reset); err != nil {
		r.targets.forget(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !finished(reset) {
		// The cache may not show yet what the last step stored, and the step would be taken again.
		reset = &v1alpha1.DeviceReset{}
		if err := r.live.Get(ctx, req.NamespacedName, reset); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
	}
	wait, err := r.step(ctx, reset)
	if unsettled := (&unsettledUserError{}); errors.As(err, &unsettled) {
		wait, err = r.awaitBindings(ctx, reset, unsettled)
	}
	return outcome(wait, err)
}

func (r *resetReconciler) step(ctx context.Context, reset *v1alpha1.DeviceReset) (time.Duration, error) {
	switch {
	case finished(reset):
		r.targets.forget(client.ObjectKeyFromObject(reset))
		return r.expire(ctx, reset)
	case len(reset.Status.Noted) > 0:
		return r.release(ctx, reset)
	case reset.Status.Cursor == "":
		return r.begin(ctx, reset)
	}
	return r.enforce(ctx, reset, nil)
}

// finished says whether a reset has come to its end, either way.
func finished(reset *v1alpha1.DeviceReset) bool { return reset.Status.CompletionTime != nil }

// store writes the reset's status.
func (r *resetReconciler) store(ctx context.Context, reset *v1alpha1.DeviceReset, mutate func(*v1alpha1.DeviceResetStatus)) (bool, error) {
	return statuspatch.Apply(ctx, r, reset, func(reset *v1alpha1.DeviceReset) {
		reset.Status.ObservedGeneration = reset.Generation
		mutate(&reset.Status)
	})
}

// progress is the reset's status while it is under way.
func (r *resetReconciler) progress(reset *v1alpha1.DeviceReset, reason, message string) func(*v1alpha1.DeviceResetStatus) {
	return func(status *v1alpha1.DeviceResetStatus) {
		set(&status.Conditions, reset.Generation, r.now(),
			isNot(v1alpha1.ConditionComplete, reason, message), is(v1alpha1.ConditionReconciling, reason, message))
	}
}

func (r *resetReconciler) now() metav1.Time { return metav1.NewTime(r.clock.Now()) }

// expire deletes a finished reset when its time is over.
func (r *resetReconciler) expire(ctx context.Context, reset *v1alpha1.DeviceReset) (time.Duration, error) {
	ttl := reset.Spec.TTLSecondsAfterFinished
	if ttl == nil || reset.DeletionTimestamp != nil {
		return 0, nil
	}
	due := reset.Status.CompletionTime.Add(time.Duration(*ttl) * time.Second)
	if wait := due.Sub(r.clock.Now()); wait > 0 {
		return wait, nil
	}
	err := r.Delete(ctx, reset, client.Preconditions{UID: &reset.UID})
	if client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("delete devicereset %s/%s: %w", reset.Namespace, reset.Name, err)
	}
	return 0, nil
}

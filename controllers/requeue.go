package controllers

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
)

// conflictDelay gives the cache time to see the write that this one conflicted with.
const conflictDelay = 200 * time.Millisecond

// outcome turns what a reconcile came to into what the queue is told. Somebody else's write in between is
// no error: with several sidecars it is daily business, and the object is looked at again. Nor is it one that a namespace
// which is being deleted takes nothing new: what was there goes first, and its owner would have it made anew.
func outcome(after time.Duration, err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictDelay}, nil
	}
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

// earliest is the shorter of two waits, of which zero means not to wait for anything.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

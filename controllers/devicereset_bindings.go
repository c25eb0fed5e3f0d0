package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// settleRetry is how soon to look again for a user whose devices are not known yet. Nearly always a watch is sooner.
const settleRetry = time.Second

// unsettledUserError says that the status of a user has not been filled yet: what it held before may be about to be restored,
// and a reset that did not wait would be undone, or be carried out twice.
type unsettledUserError struct{ name string }

func (e *unsettledUserError) Error() string {
	return "the devices of RelayUser " + e.name + " are not known yet"
}

// errNotServed says that a user holds no device because another one is served under the login name.
var errNotServed = errors.New("user is not served")

// settled is nil if the manager has filled the user's status.
func (r *resetReconciler) settled(ctx context.Context, user *v1alpha1.RelayUser) error {
	if len(user.Status.Slots) > 0 {
		return nil
	}
	winner, err := winnerOf(ctx, r, user)
	switch {
	case err != nil:
		return err
	case !served(winner, user):
		return errNotServed
	}
	return &unsettledUserError{user.Name}
}

// recordAhead writes the record of a user whose status is about to become that of released.
func (r *resetReconciler) recordAhead(ctx context.Context, user, released *v1alpha1.RelayUser) error {
	if equality.Semantic.DeepEqual(user.Status, released.Status) {
		return nil
	}
	winner, err := winnerOf(ctx, r, user)
	if err != nil || !served(winner, user) {
		return err
	}
	server := &v1alpha1.RelayServer{}
	err = r.Get(ctx, client.ObjectKey{Namespace: user.Namespace, Name: user.Spec.ServerRef.Name}, server)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get server of user %s/%s: %w", user.Namespace, user.Name, err)
	}
	err = r.records.ahead(ctx, released, err == nil)
	if refused := (&recordRefusedError{}); errors.As(err, &refused) {
		// A stolen phone is not left in because its record cannot be written: the user's condition tells of that.
		log.FromContext(ctx).Error(err, "Record of devices is behind a reset", "user", user.Name)
		return nil
	}
	return err
}

// awaitBindings waits for the status of a user to be filled.
func (r *resetReconciler) awaitBindings(ctx context.Context, reset *v1alpha1.DeviceReset, unsettled *unsettledUserError) (time.Duration, error) {
	message := fmt.Sprintf("%v; if that lasts, the user's condition %s says why", unsettled, v1alpha1.ConditionReady)
	_, err := r.store(ctx, reset, r.progress(reset, v1alpha1.ReasonWaitingForBindings, message))
	return settleRetry, err
}

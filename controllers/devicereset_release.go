package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/statuspatch"
)

const (
	// windowWorkers is how many users of one window are read or written at once.
	windowWorkers = 8
	// releaseAttempts is how often a release is tried while sidecars write the same user.
	releaseAttempts = 8
)

// firstWindow is as many of the users as are noted at a time.
func firstWindow(reset *v1alpha1.DeviceReset, users []string) []string {
	return users[:min(len(users), v1alpha1.MaxNotedBindings/len(reset.Spec.Slots))]
}

// note reads, from the API server, what the slots of users hold now. What it read serves release too, as a
// first guess: a write under its resourceVersion fails if anybody has written the user since.
func (r *resetReconciler) note(ctx context.Context, reset *v1alpha1.DeviceReset, users []string) ([]v1alpha1.NotedBinding, error) {
	slots, read := reset.Spec.Slots, make([]*v1alpha1.RelayUser, len(users))
	noted := make([]v1alpha1.NotedBinding, len(users)*len(slots))
	err := inParallel(ctx, len(users), func(ctx context.Context, i int) error {
		user := &v1alpha1.RelayUser{}
		err := r.live.Get(ctx, client.ObjectKey{Namespace: reset.Namespace, Name: users[i]}, user)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("get user %s/%s: %w", reset.Namespace, users[i], err)
		}
		if user.UID != "" {
			if err := r.settled(ctx, user); err != nil && !errors.Is(err, errNotServed) {
				return err
			}
		}
		for j, slot := range slots {
			// A user who is gone has no UID, and will be found gone when the slot is to be released.
			noted[i*len(slots)+j] = v1alpha1.NotedBinding{
				User: users[i], UID: string(user.UID), Slot: slot, BindingID: bindingID(user, slot),
			}
		}
		read[i] = user
		return nil
	})
	if err == nil {
		r.targets.remember(reset, read)
	}
	return noted, err
}

func bindingID(user *v1alpha1.RelayUser, slot v1alpha1.Slot) string {
	if s := binding.Find(&user.Status, slot); s != nil && s.Binding != nil {
		return s.Binding.ID
	}
	return ""
}

func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(windowWorkers)
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// release clears what has been noted, and stores what came of it together with the next window.
func (r *resetReconciler) release(ctx context.Context, reset *v1alpha1.DeviceReset) (time.Duration, error) {
	window := byUser(reset.Status.Noted)
	releases := make([]userRelease, len(window))
	err := inParallel(ctx, len(window), func(ctx context.Context, i int) error {
		var err error
		releases[i], err = r.releaseUser(ctx, reset, window[i])
		return err
	})
	if err != nil {
		return 0, err
	}
	rest, err := r.after(ctx, reset, window[len(window)-1][0].User)
	if err != nil {
		return 0, err
	}
	next, err := r.note(ctx, reset, firstWindow(reset, rest))
	if err != nil {
		return 0, err
	}
	moveOn := func(status *v1alpha1.DeviceResetStatus) {
		status.Cursor = window[len(window)-1][0].User
		status.Processed += int32(len(window))
		status.Users = status.Processed + int32(len(rest))
		status.Noted = next
		for _, release := range releases {
			release.record(status)
		}
	}
	if len(next) == 0 {
		return r.enforce(ctx, reset, moveOn)
	}
	_, err = r.store(ctx, reset, func(status *v1alpha1.DeviceResetStatus) {
		moveOn(status)
		r.progress(reset, v1alpha1.ReasonClearing, clearingMessage(status))(status)
	})
	return nextWindow, err
}

// byUser groups the noted bindings of each user; they are in order of users.
func byUser(noted []v1alpha1.NotedBinding) [][]v1alpha1.NotedBinding {
	var groups [][]v1alpha1.NotedBinding
	for start, i := 0, 1; i <= len(noted); i++ {
		if i == len(noted) || noted[i].User != noted[start].User {
			groups = append(groups, noted[start:i])
			start = i
		}
	}
	return groups
}

// userRelease is what came of the release of one user's slots.
type userRelease struct {
	results []v1alpha1.SlotResult
	// server and resourceVersion say what the server's sidecars must have observed; empty when the user is
	// gone.
	server, resourceVersion string
}

// releaseUser frees the noted slots of one user in one write. If a sidecar has written the user in between,
// it looks again, and frees what is still as noted.
func (r *resetReconciler) releaseUser(ctx context.Context, reset *v1alpha1.DeviceReset, noted []v1alpha1.NotedBinding) (userRelease, error) {
	user, err := r.targets.recall(reset, noted[0]), error(nil)
	for range releaseAttempts {
		if user == nil {
			user, err = r.liveUser(ctx, reset.Namespace, noted[0])
			if user == nil || err != nil {
				return userGone(noted), err
			}
		}
		var done userRelease
		var made bool
		done.results, made, err = r.releaseOnce(ctx, reset, user, noted)
		switch {
		case err == nil:
			// Also when nothing was written. A request that was handled before was so by another reset, which may
			// be waiting for the sidecars still, or have been deleted while it was. The user as it is now includes
			// that one's write, so Complete means enforced here, too. It costs time only when somebody has written
			// the user since a sidecar's Lease was renewed last.
			done.server, done.resourceVersion = user.Spec.ServerRef.Name, user.ResourceVersion
			if made {
				r.announceRelease(reset, user, done.results)
			}
			return done, nil
		case apierrors.IsNotFound(err):
			return userGone(noted), nil
		case !apierrors.IsConflict(err):
			return userRelease{}, err
		}
		user = nil
	}
	return userRelease{}, fmt.Errorf("release slots of user %s/%s: %w", reset.Namespace, noted[0].User, err)
}

// releaseOnce frees the slots of a user as it was read: first in the record of its devices, then in its status. Between
// the two, or should the second not come, status is the truth, and the reset goes on from what it noted. Should
// status be lost there, what comes back is what the reset was about to make of it: no removed device is let in again.
func (r *resetReconciler) releaseOnce(ctx context.Context, reset *v1alpha1.DeviceReset, user *v1alpha1.RelayUser, noted []v1alpha1.NotedBinding) ([]v1alpha1.SlotResult, bool, error) {
	switch err := r.settled(ctx, user); {
	case errors.Is(err, errNotServed):
		return results(noted, v1alpha1.SlotOutcomeNotBound), false, nil
	case err != nil:
		return nil, false, err
	}
	released := user.DeepCopy()
	done := r.releaseSlots(reset, released, noted)
	if err := r.recordAhead(ctx, user, released); err != nil {
		return nil, false, err
	}
	made, err := statuspatch.Apply(ctx, r, user, func(user *v1alpha1.RelayUser) { user.Status = released.Status })
	return done, made, err
}

// liveUser is the user of a noted binding as the API server has it, nil when there is none any more.
func (r *resetReconciler) liveUser(ctx context.Context, namespace string, noted v1alpha1.NotedBinding) (*v1alpha1.RelayUser, error) {
	user := &v1alpha1.RelayUser{}
	err := r.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: noted.User}, user)
	switch {
	case apierrors.IsNotFound(err) || (err == nil && string(user.UID) != noted.UID):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get user %s/%s: %w", namespace, noted.User, err)
	}
	return user, nil
}

func (r *resetReconciler) releaseSlots(reset *v1alpha1.DeviceReset, user *v1alpha1.RelayUser, noted []v1alpha1.NotedBinding) []v1alpha1.SlotResult {
	results := make([]v1alpha1.SlotResult, len(noted))
	for i, n := range noted {
		release := binding.Release{
			Slot: n.Slot, BindingID: n.BindingID,
			RequestID: reset.EffectiveRequestID(), UID: string(reset.UID),
			NextDevice: reset.Spec.NextDevice, PreviousDevice: reset.Spec.PreviousDevice,
			Now: r.clock.Now(),
		}
		what, cleared := release.Apply(&user.Status)
		results[i] = v1alpha1.SlotResult{User: n.User, Slot: n.Slot, Outcome: what, BindingID: cleared}
	}
	return results
}

func userGone(noted []v1alpha1.NotedBinding) userRelease {
	return userRelease{results: results(noted, v1alpha1.SlotOutcomeUserGone)}
}

// results are those of slots with which nothing was done.
func results(noted []v1alpha1.NotedBinding, what v1alpha1.SlotOutcome) []v1alpha1.SlotResult {
	results := make([]v1alpha1.SlotResult, len(noted))
	for i, n := range noted {
		results[i] = v1alpha1.SlotResult{User: n.User, Slot: n.Slot, Outcome: what}
	}
	return results
}

// record adds what came of a release to the status.
func (u userRelease) record(status *v1alpha1.DeviceResetStatus) {
	for _, result := range u.results {
		count(status, result.Outcome)
		if len(status.Results) < v1alpha1.MaxSlotResults {
			status.Results = append(status.Results, result)
		}
	}
	if u.server != "" {
		status.Enforcement = require(status.Enforcement, u.server, u.resourceVersion)
	}
}

func count(status *v1alpha1.DeviceResetStatus, what v1alpha1.SlotOutcome) {
	switch what {
	case v1alpha1.SlotOutcomeCleared:
		status.Cleared++
	case v1alpha1.SlotOutcomeReserved:
		status.Reserved++
	case v1alpha1.SlotOutcomeUnreserved:
		status.Unreserved++
	case v1alpha1.SlotOutcomeNotBound:
		status.NotBound++
	case v1alpha1.SlotOutcomeAlreadyHandled:
		status.AlreadyHandled++
	case v1alpha1.SlotOutcomeChangedSince, v1alpha1.SlotOutcomeUserGone:
		status.ChangedSince++
	}
}

// require keeps, for each server, the newest write that its sidecars must have observed.
func require(list []v1alpha1.Enforcement, server, resourceVersion string) []v1alpha1.Enforcement {
	for i := range list {
		if list[i].Server != server {
			continue
		}
		// One that cannot be compared replaces the other: no sidecar vouches for it, so it errs towards waiting.
		order, err := resourceversion.CompareResourceVersion(list[i].ResourceVersion, resourceVersion)
		if err != nil || order < 0 {
			list[i].ResourceVersion = resourceVersion
		}
		return list
	}
	return append(list, v1alpha1.Enforcement{Server: server, ResourceVersion: resourceVersion})
}

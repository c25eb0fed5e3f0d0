package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// listPage is how many users are listed in one request.
const listPage = 500

// failure is a reason to give a reset up.
type failure struct{ reason, message string }

func (f *failure) Error() string { return f.message }

// errNobody says that there is no user to reset, as yet.
var errNobody = errors.New("no user to reset")

// begin finds the users and notes the first window, or waits for users to appear, or gives up.
func (r *resetReconciler) begin(ctx context.Context, reset *v1alpha1.DeviceReset) (time.Duration, error) {
	users, err := r.resolve(ctx, reset)
	var failed *failure
	switch {
	case errors.As(err, &failed):
		return r.fail(ctx, reset, failed)
	case errors.Is(err, errNobody):
		return r.await(ctx, reset)
	case err != nil:
		return 0, err
	}
	noted, err := r.note(ctx, reset, firstWindow(reset, users))
	if err != nil {
		return 0, err
	}
	_, err = r.store(ctx, reset, func(status *v1alpha1.DeviceResetStatus) {
		status.Users = int32(len(users))
		status.Noted = noted
		r.progress(reset, v1alpha1.ReasonClearing, clearingMessage(status))(status)
	})
	if err != nil {
		return 0, err
	}
	return r.release(ctx, reset)
}

// await waits for users to appear: GitOps applies in any order. A watch tells when one does.
func (r *resetReconciler) await(ctx context.Context, reset *v1alpha1.DeviceReset) (time.Duration, error) {
	seconds := reset.Spec.ActiveDeadlineSeconds
	deadline := reset.CreationTimestamp.Add(time.Duration(seconds) * time.Second)
	wait := deadline.Sub(r.clock.Now())
	if wait <= 0 {
		return r.fail(ctx, reset, nobodyCame(reset))
	}
	message := fmt.Sprintf("waiting until %s for %s to appear", deadline.UTC().Format(time.RFC3339), who(reset))
	made, err := r.store(ctx, reset, r.progress(reset, v1alpha1.ReasonWaitingForUser, message))
	if err != nil {
		return 0, err
	}
	if made {
		r.announce(reset, v1alpha1.ReasonWaitingForUser, message)
	}
	return wait, nil
}

func nobodyCame(reset *v1alpha1.DeviceReset) *failure {
	if reset.Spec.UserRef != nil {
		return &failure{v1alpha1.ReasonUserNotFound, fmt.Sprintf(
			"RelayUser %s did not appear within %d s; nothing was freed", reset.Spec.UserRef.Name, reset.Spec.ActiveDeadlineSeconds)}
	}
	return &failure{v1alpha1.ReasonNoUserMatched, fmt.Sprintf(
		"the selector picked nobody within %d s; nothing was freed", reset.Spec.ActiveDeadlineSeconds)}
}

func who(reset *v1alpha1.DeviceReset) string {
	if reset.Spec.UserRef != nil {
		return "RelayUser " + reset.Spec.UserRef.Name
	}
	return "a RelayUser with the labels of the selector"
}

// resolve finds the users whom a reset that has not begun concerns.
func (r *resetReconciler) resolve(ctx context.Context, reset *v1alpha1.DeviceReset) ([]string, error) {
	if ref := reset.Spec.UserRef; ref != nil {
		user := &v1alpha1.RelayUser{}
		err := r.live.Get(ctx, client.ObjectKey{Namespace: reset.Namespace, Name: ref.Name}, user)
		switch {
		case apierrors.IsNotFound(err):
			return nil, errNobody
		case err != nil:
			return nil, fmt.Errorf("get user %s/%s: %w", reset.Namespace, ref.Name, err)
		}
		if err := r.settled(ctx, user); err != nil && !errors.Is(err, errNotServed) {
			return nil, err
		}
		return []string{ref.Name}, r.checkNextDevice(ctx, reset, user)
	}
	users, err := r.pick(ctx, reset, withinLimits(maxUsers(reset)))
	if err != nil {
		return nil, err
	}
	if len(users) == 0 {
		return nil, errNobody
	}
	r.targets.pick(reset, users)
	return users, nil
}

func maxUsers(reset *v1alpha1.DeviceReset) int {
	if reset.Spec.MaxUsers != nil {
		return int(*reset.Spec.MaxUsers)
	}
	return v1alpha1.DefaultMaxUsers
}

// pick lists the users whom the selector picks, by name. It reads from the API server: somebody who labels
// users and creates a reset means those users. It stops when check fails on the numbers of users and of
// servers so far.
func (r *resetReconciler) pick(ctx context.Context, reset *v1alpha1.DeviceReset, check func(users, servers int) error) ([]string, error) {
	selector, err := selectorOf(reset)
	if err != nil {
		return nil, &failure{v1alpha1.ReasonInvalidSelector, fmt.Sprintf("the selector is not valid: %v", err)}
	}
	var names []string
	servers := map[string]bool{}
	for next := ""; ; {
		var page v1alpha1.RelayUserList
		err := r.live.List(ctx, &page, client.InNamespace(reset.Namespace), client.MatchingLabelsSelector{Selector: selector},
			client.Limit(listPage), client.Continue(next))
		if err != nil {
			return nil, fmt.Errorf("list users for devicereset %s/%s: %w", reset.Namespace, reset.Name, err)
		}
		for i := range page.Items {
			names = append(names, page.Items[i].Name)
			servers[page.Items[i].Spec.ServerRef.Name] = true
		}
		if err := check(len(names), len(servers)); err != nil {
			return nil, err
		}
		if next = page.Continue; next == "" {
			slices.Sort(names)
			return names, nil
		}
	}
}

// withinLimits fails when a reset that has not freed anything would free too much.
func withinLimits(limit int) func(users, servers int) error {
	return func(users, servers int) error {
		switch {
		case users > limit:
			return &failure{v1alpha1.ReasonTooManyUsers, fmt.Sprintf(
				"the selector picks more than %s; nothing was freed. Create a DeviceReset with a larger "+
					"maxUsers if that is meant, or with a narrower selector", counted(limit, "user", "users"))}
		case servers > v1alpha1.MaxEnforcements:
			return &failure{v1alpha1.ReasonTooManyServers, fmt.Sprintf(
				"the selector picks users of more than %d servers; nothing was freed. Use a DeviceReset for "+
					"each group of servers", v1alpha1.MaxEnforcements)}
		}
		return nil
	}
}

// unlimited is for a reset that has begun: it was within its limits then, and is brought to its end.
func unlimited(_, _ int) error { return nil }

func selectorOf(reset *v1alpha1.DeviceReset) (labels.Selector, error) {
	match := make(map[string]string, len(reset.Spec.Selector.MatchLabels))
	for key, value := range reset.Spec.Selector.MatchLabels {
		match[key] = string(value)
	}
	return metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchLabels: match})
}

// after lists the users who come after a name.
func (r *resetReconciler) after(ctx context.Context, reset *v1alpha1.DeviceReset, name string) ([]string, error) {
	if reset.Spec.UserRef != nil {
		return nil, nil
	}
	users := r.targets.picked(reset)
	if users == nil {
		var err error
		if users, err = r.pick(ctx, reset, unlimited); err != nil {
			return nil, err
		}
		r.targets.pick(reset, users)
	}
	from, found := slices.BinarySearch(users, name)
	if found {
		from++
	}
	return users[from:], nil
}

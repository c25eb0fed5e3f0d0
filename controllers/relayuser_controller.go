package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/loginname"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/statuspatch"
)

// userWorkers is how many users are looked at together. They mostly wait for the API server; hashing has a
// bound of its own.
const userWorkers = 8

// userReconciler keeps a user's credential where the sidecars read it, and says in the user's conditions
// whether the user can log in and what an administrator might do.
type userReconciler struct {
	client.Client
	live  client.Reader
	clock clock.PassiveClock
	// hasher bounds how many passwords are hashed at once.
	hasher   *password.Verifier
	records  *recordBook
	recorder events.EventRecorder
	behind   *behindRecords
}

func newUserReconciler(mgr ctrl.Manager, o Options) *userReconciler {
	return &userReconciler{
		Client: mgr.GetClient(), live: mgr.GetAPIReader(), clock: o.Clock,
		hasher:  password.NewVerifier(password.Options{Slots: o.HashSlots, Queue: userWorkers}),
		records: &recordBook{Client: mgr.GetClient(), live: mgr.GetAPIReader()}, recorder: mgr.GetEventRecorder(FieldOwner),
		behind: newBehindRecords(),
	}
}

func (r *userReconciler) setup(mgr ctrl.Manager, o Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("relayuser").
		For(&v1alpha1.RelayUser{}, builder.WithPredicates(userChanged())).
		Watches(&v1alpha1.RelayUser{}, r.enqueueNamesakes(), builder.WithPredicates(comesOrGoes())).
		Watches(&v1alpha1.RelayServer{}, r.enqueueUsersOfServer(), builder.WithPredicates(readinessChanged())).
		Watches(&corev1.Secret{}, r.secretHandler()).
		WithOptions(controller.Options{MaxConcurrentReconciles: userWorkers, SkipNameValidation: &o.SkipNameValidation}).
		Complete(r)
}

// Reconcile brings one user up to date.
func (r *userReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	user := &v1alpha1.RelayUser{}
	if err := r.Get(ctx, req.NamespacedName, user); err != nil {
		r.behind.set(req.NamespacedName, false)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if user.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	facts, err := r.gather(ctx, user)
	if err != nil {
		return outcome(0, err)
	}
	if facts.record, err = r.keepRecord(ctx, facts); err != nil {
		return outcome(0, err)
	}
	plan := decideUser(facts)
	// The credential first: a user who must not be served loses it even if the status cannot be written.
	if err := r.applyCredential(ctx, facts, &plan); err != nil {
		return outcome(0, err)
	}
	_, err = statuspatch.Apply(ctx, r, user, func(u *v1alpha1.RelayUser) {
		plan.report(u, metav1.NewTime(r.clock.Now()))
	})
	return outcome(plan.retry, err)
}

// gather reads all that the decision about a user depends on.
func (r *userReconciler) gather(ctx context.Context, user *v1alpha1.RelayUser) (userFacts, error) {
	facts := userFacts{user: user}
	server := &v1alpha1.RelayServer{}
	err := r.Get(ctx, client.ObjectKey{Namespace: user.Namespace, Name: user.Spec.ServerRef.Name}, server)
	switch {
	case err == nil:
		facts.server = server
	case client.IgnoreNotFound(err) != nil:
		return facts, fmt.Errorf("get server of user %s/%s: %w", user.Namespace, user.Name, err)
	}
	if facts.winner, err = winnerOf(ctx, r, user); err != nil {
		return facts, err
	}
	if credentialProblem(facts) != nil {
		return facts, nil // and no temporary password is made for a user who is not served
	}
	facts.password, err = r.readPassword(ctx, user)
	return facts, err
}

// winnerOf is the user who is served under this user's login name: the oldest who claims it, of equally old
// ones the one with the lowest UID. The sidecars' directory has the same order. It is nil when the name is
// no login name.
func winnerOf(ctx context.Context, c client.Reader, user *v1alpha1.RelayUser) (*v1alpha1.RelayUser, error) {
	name, err := loginname.Normalize(user.LoginName())
	if err != nil {
		return nil, nil //nolint:nilerr // an invalid name is a fact to decide on, not a failure
	}
	namesakes, err := namesakesOf(ctx, c, user.Namespace, loginKey(user.Spec.ServerRef.Name, name))
	if err != nil {
		return nil, err
	}
	winner := user
	for i := range namesakes {
		if servedBefore(&namesakes[i], winner) {
			winner = &namesakes[i]
		}
	}
	return winner, nil
}

func namesakesOf(ctx context.Context, c client.Reader, namespace, key string) ([]v1alpha1.RelayUser, error) {
	var users v1alpha1.RelayUserList
	err := c.List(ctx, &users, client.InNamespace(namespace), client.MatchingFields{indexUserLogin: key},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list users with one login name in %s: %w", namespace, err)
	}
	return users.Items, nil
}

// retryAfter is how soon to look again at what no watch tells of.
func retryAfter(problem *obstacle) time.Duration {
	if problem == nil {
		return 0
	}
	return obstacleRetry
}

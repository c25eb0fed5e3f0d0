package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/bindingrecord"
	"github.com/tegata-dev/tegata/internal/credential"
)

// credentialSweep removes the credentials of users who are gone.
//
// A user's entry outlives the user only as dead weight: it is keyed by UID, and no login finds it. So
// there is no hurry, and much reason for care: the cache of Secrets may be ahead of the cache of users, and
// then the entry of a user who was just created looks like one whose user is gone. Hence an entry must have
// looked so for SweepAge. Should a live one go all the same, the user's reconciler sees it go and writes
// it anew.
type credentialSweep struct {
	client.Client
	clock      clock.PassiveClock
	delay, age time.Duration

	mu sync.Mutex
	// orphans are, by server, since when entries have been seen without a user.
	orphans map[types.NamespacedName]map[string]time.Time
}

func newCredentialSweep(mgr ctrl.Manager, o Options) *credentialSweep {
	return &credentialSweep{
		Client: mgr.GetClient(), clock: o.Clock, delay: o.SweepDelay, age: o.SweepAge,
		orphans: map[types.NamespacedName]map[string]time.Time{},
	}
}

func (s *credentialSweep) setup(mgr ctrl.Manager, o Options) error {
	started := predicate.Funcs{
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("credential-sweep").
		For(&v1alpha1.RelayServer{}, builder.WithPredicates(started)).
		Watches(&v1alpha1.RelayUser{}, handler.Funcs{DeleteFunc: s.userDeleted}).
		WithOptions(controller.Options{SkipNameValidation: &o.SkipNameValidation}).
		Complete(s)
}

func (s *credentialSweep) userDeleted(_ context.Context, e event.DeleteEvent, q queue) {
	if user, ok := e.Object.(*v1alpha1.RelayUser); ok {
		q.AddAfter(request(user.Namespace, user.Spec.ServerRef.Name), s.delay)
	}
}

// Reconcile sweeps one server's credentials.
func (s *credentialSweep) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	server := &v1alpha1.RelayServer{}
	if err := s.Get(ctx, req.NamespacedName, server); err != nil {
		s.mature(req.NamespacedName, nil)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	shards, err := s.shards(ctx, server)
	if err != nil {
		return ctrl.Result{}, err
	}
	// The users are read after the Secrets, so that a user is there if the entry is.
	users, err := usersOfServer(ctx, s, server.Namespace, server.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := s.forgetRecords(ctx, server, users); err != nil {
		return outcome(0, err)
	}
	due, waiting := s.mature(req.NamespacedName, orphanKeys(shards, users))
	for shard, keys := range due {
		if err := removeEntries(ctx, s, shard, keys); err != nil {
			return ctrl.Result{}, err
		}
	}
	if waiting {
		return ctrl.Result{RequeueAfter: s.age}, nil
	}
	return ctrl.Result{}, nil
}

// forgetRecords removes the records of users who were deleted on purpose. Such a record counts for nothing, so there is
// no haste; and should the cache of users not show yet one that is there, its record is written anew.
func (s *credentialSweep) forgetRecords(ctx context.Context, server *v1alpha1.RelayServer, users []v1alpha1.RelayUser) error {
	var pages corev1.SecretList
	err := s.List(ctx, &pages, client.InNamespace(server.Namespace), client.MatchingLabels(recordLabels(server.Name)),
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list records of %s/%s: %w", server.Namespace, server.Name, err)
	}
	alive := make(map[types.UID]bool, len(users))
	for i := range users {
		alive[users[i].UID] = true
	}
	for i := range pages.Items {
		gone := map[string][]byte{}
		for key, value := range pages.Items[i].Data {
			if uid, forget := bindingrecord.ForgottenWith(value); forget && !alive[uid] {
				gone[key] = nil
			}
		}
		if len(gone) == 0 {
			continue
		}
		if err := patchSecret(ctx, s, &pages.Items[i], gone); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

func (s *credentialSweep) shards(ctx context.Context, server *v1alpha1.RelayServer) ([]corev1.Secret, error) {
	var shards corev1.SecretList
	err := s.List(ctx, &shards, client.InNamespace(server.Namespace),
		client.MatchingLabels(secretLabels(server, v1alpha1.SecretTypeCredentials)), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list credential secrets of %s/%s: %w", server.Namespace, server.Name, err)
	}
	return shards.Items, nil
}

// orphanKeys are, by Secret, the entries that belong to none of the users.
func orphanKeys(shards []corev1.Secret, users []v1alpha1.RelayUser) map[types.NamespacedName][]string {
	alive := make(map[string]bool, len(users))
	for i := range users {
		alive[credential.Key(users[i].UID)] = true
	}
	orphans := map[types.NamespacedName][]string{}
	for i := range shards {
		name := client.ObjectKeyFromObject(&shards[i])
		for key := range shards[i].Data {
			if !alive[key] {
				orphans[name] = append(orphans[name], key)
			}
		}
	}
	return orphans
}

// mature returns the entries that have been orphans for long enough, by Secret, and whether there are
// others.
func (s *credentialSweep) mature(server types.NamespacedName, found map[types.NamespacedName][]string) (map[types.NamespacedName][]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, before := s.clock.Now(), s.orphans[server]
	due, waiting := map[types.NamespacedName][]string{}, map[string]time.Time{}
	for secret, keys := range found {
		for _, key := range keys {
			since, known := before[key]
			switch {
			case !known:
				waiting[key] = now
			case now.Sub(since) < s.age:
				waiting[key] = since
			default:
				due[secret] = append(due[secret], key)
			}
		}
	}
	delete(s.orphans, server)
	if len(waiting) > 0 {
		s.orphans[server] = waiting
	}
	return due, len(waiting) > 0
}

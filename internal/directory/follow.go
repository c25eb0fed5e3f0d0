package directory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/nas"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

// Source keeps a Directory current.
type Source struct {
	users     *follower[*v1alpha1.RelayUser]
	followers []runner
	synced    []<-chan struct{}
}

type runner interface {
	run(ctx context.Context)
	failingSince() time.Time
}

// NewSource prepares the watches of a directory. onObserved is told of every resourceVersion of
// RelayUsers that the directory reflects from then on, after it does; urgent means that a slot changed,
// which a DeviceReset may be waiting for.
func NewSource(c client.WithWatch, namespace string, d *Directory, log logr.Logger, onObserved func(resourceVersion string, urgent bool)) *Source {
	d.onObserved = onObserved
	s := &Source{}
	s.users = newFollower(followed[*v1alpha1.RelayUser]{
		client:  c,
		newList: func() client.ObjectList { return &v1alpha1.RelayUserList{} },
		items:   items(func(l *v1alpha1.RelayUserList) []v1alpha1.RelayUser { return l.Items }),
		options: []client.ListOption{client.InNamespace(namespace), client.MatchingFields{"spec.serverRef.name": d.server}},
		sink:    &userSink{directory: d},
		log:     log.WithValues("resource", "relayusers"),
	})
	s.add(s.users, s.users.synced)
	server := newFollower(followed[*v1alpha1.RelayServer]{
		client:  c,
		newList: func() client.ObjectList { return &v1alpha1.RelayServerList{} },
		items:   items(func(l *v1alpha1.RelayServerList) []v1alpha1.RelayServer { return l.Items }),
		options: named(namespace, d.server),
		sink:    &singleSink[*v1alpha1.RelayServer]{set: func(o *v1alpha1.RelayServer) { d.putServer(o, log) }, unset: func() { d.putServer(nil, log) }},
		log:     log.WithValues("resource", "relayservers"),
	})
	s.add(server, server.synced)
	s.addSecret(c, namespace, fingerprint.SecretName(d.server), log, d.putKeys(log))
	s.addSecret(c, namespace, nas.SecretName(d.server), log, func(data map[string][]byte) { d.radius.putSecrets(data, log) })
	for n := range credential.Shards {
		s.addSecret(c, namespace, credential.SecretName(d.server, n), log, d.putShard(n, log))
	}
	return s
}

func (s *Source) add(r runner, synced <-chan struct{}) {
	s.followers = append(s.followers, r)
	s.synced = append(s.synced, synced)
}

func (s *Source) addSecret(c client.WithWatch, namespace, name string, log logr.Logger, set func(map[string][]byte)) {
	f := newFollower(followed[*corev1.Secret]{
		client:  c,
		newList: func() client.ObjectList { return &corev1.SecretList{} },
		items:   items(func(l *corev1.SecretList) []corev1.Secret { return l.Items }),
		options: named(namespace, name),
		sink: &singleSink[*corev1.Secret]{
			set:   func(o *corev1.Secret) { set(o.Data) },
			unset: func() { set(nil) },
		},
		log: log.WithValues("resource", "secrets", "name", name),
	})
	s.add(f, f.synced)
}

// named selects one object by name, which a Role with resourceNames permits to list and watch.
func named(namespace, name string) []client.ListOption {
	return []client.ListOption{
		client.InNamespace(namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", name)},
	}
}

// items makes a function that takes the objects out of a list of the type L.
func items[L client.ObjectList, T any](of func(L) []T) func(client.ObjectList) []*T {
	return func(list client.ObjectList) []*T {
		typed, ok := list.(L)
		if !ok {
			return nil // newList makes an L
		}
		values := of(typed)
		pointers := make([]*T, len(values))
		for i := range values {
			pointers[i] = &values[i]
		}
		return pointers
	}
}

// Run follows until ctx ends.
func (s *Source) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, f := range s.followers {
		wg.Go(func() { f.run(ctx) })
	}
	wg.Wait()
}

// WaitForSync waits until everything has been listed once.
func (s *Source) WaitForSync(ctx context.Context) error {
	for _, synced := range s.synced {
		select {
		case <-synced:
		case <-ctx.Done():
			return fmt.Errorf("wait for the first lists: %w", context.Cause(ctx))
		}
	}
	return nil
}

// FailingSince is since when something of what is followed could not be read; zero while all of it can.
func (s *Source) FailingSince() time.Time {
	var oldest time.Time
	for _, f := range s.followers {
		if since := f.failingSince(); !since.IsZero() && (oldest.IsZero() || since.Before(oldest)) {
			oldest = since
		}
	}
	return oldest
}

// Resync reads all users anew from the API server, with a list that begins after the call.
func (s *Source) Resync(ctx context.Context) error { return s.users.resync(ctx) }

// userSink keeps the users of a Directory.
type userSink struct {
	directory *Directory
	lists     uint64
	urgent    bool
}

func (s *userSink) begin() { s.lists++ }

func (s *userSink) put(u *v1alpha1.RelayUser, listed bool) {
	if u.DeletionTimestamp != nil {
		s.remove(u) // finalizers may keep it for long; nobody logs in meanwhile
		return
	}
	s.urgent = s.directory.put(u, s.lists) && !listed
}

func (s *userSink) remove(u *v1alpha1.RelayUser) {
	s.urgent = true
	s.directory.remove(string(u.UID))
}

func (s *userSink) commit(resourceVersion string) {
	s.directory.dropUnlisted(s.lists)
	s.directory.observe(resourceVersion, true)
}

func (s *userSink) observed(resourceVersion string) {
	urgent := s.urgent
	s.urgent = false
	s.directory.observe(resourceVersion, urgent)
}

// singleSink keeps one object.
type singleSink[T client.Object] struct {
	set    func(T)
	unset  func()
	listed bool
}

func (s *singleSink[T]) begin() { s.listed = false }

func (s *singleSink[T]) put(obj T, _ bool) {
	s.listed = true
	s.set(obj)
}

func (s *singleSink[T]) remove(T) { s.unset() }

func (s *singleSink[T]) commit(string) {
	if !s.listed {
		s.unset()
	}
}

func (s *singleSink[T]) observed(string) {}

// putServer takes the RelayServer, nil when there is none.
func (d *Directory) putServer(s *v1alpha1.RelayServer, log logr.Logger) {
	if s == nil {
		d.policy.Store(nil)
		d.radius.putSpec(nil, log)
		return
	}
	d.policy.Store(policyOf(s))
	d.radius.putSpec(s.Spec.RADIUS, log)
}

// putKeys takes the key Secret. Without a readable one no device is recognised and none enrols.
func (d *Directory) putKeys(log logr.Logger) func(map[string][]byte) {
	return func(data map[string][]byte) {
		if len(data) == 0 {
			d.keyring.Store(nil)
			d.sessionKeys.Store(nil)
			return
		}
		ring, err := fingerprint.ParseKeyring(data)
		if err != nil {
			log.Error(err, "Key Secret cannot be read; no device is recognised")
		}
		d.keyring.Store(ring)
		sessionKeys, err := session.ParseKeys(data)
		if err != nil {
			log.Error(err, "Session keys cannot be read; nobody is admitted")
		}
		d.sessionKeys.Store(sessionKeys)
	}
}

// putShard takes a credential Secret. Entries that cannot be read, or whose hash costs too much, are left
// out, so that their users cannot log in.
func (d *Directory) putShard(n int, log logr.Logger) func(map[string][]byte) {
	return func(data map[string][]byte) {
		hashes := make(map[string]password.Hash, len(data))
		for uid, value := range data {
			hash, err := parseCredential(value)
			if err != nil {
				log.Error(err, "Credential is refused; its user cannot log in", "secret", credential.SecretName(d.server, n), "userUID", uid)
				continue
			}
			hashes[uid] = hash
		}
		d.putHashes(n, hashes)
	}
}

func parseCredential(value []byte) (password.Hash, error) {
	e, err := credential.Decode(value)
	if err != nil {
		return password.Hash{}, err
	}
	return password.Parse(e.Hash)
}

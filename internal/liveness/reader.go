package liveness

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Reader is the manager's reading of sidecars' Leases.
//
// It trusts no clock but its own: a Lease has run out when it has not changed, as far as this process
// has seen, for its whole duration and a little more. A renewal is seen after the sidecar made it, so the
// sidecar, which counts from before it sent the renewal, has always stopped first, also when its clock runs
// slower than this one's. A manager that has just started
// therefore waits out a dead sidecar's whole Lease once.
type Reader struct {
	// Client must read from the API server, not from a cache: see Observed.
	Client client.Reader
	Clock  clock.PassiveClock

	mu   sync.Mutex
	seen map[types.UID]renewal
}

// maxDrift is by which part of a time the clocks of two machines may differ in measuring it. Those that are
// kept in step by NTP differ by a two-thousandth at most.
const maxDrift = 100

type renewal struct {
	resourceVersion string
	at              time.Time
}

// Sidecar is one sidecar, as its Lease tells.
type Sidecar struct {
	Name  string
	Lease *coordinationv1.Lease
	// Live says that the Lease has not run out.
	Live bool
	// Remaining is how long until it does, if it is not renewed.
	Remaining time.Duration
}

// Note records when this process saw a Lease's renewal. Calling it on every watch event lets a Lease run
// out as early as is safe; not calling it only makes that later.
func (r *Reader) Note(l *coordinationv1.Lease) Sidecar {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[types.UID]renewal{}
	}
	now := r.Clock.Now()
	last, known := r.seen[l.UID]
	if !known || last.resourceVersion != l.ResourceVersion {
		last = renewal{resourceVersion: l.ResourceVersion, at: now}
		r.seen[l.UID] = last
	}
	remaining := last.at.Add(duration(l) + duration(l)/maxDrift).Sub(now)
	return Sidecar{Name: Holder(l), Lease: l, Live: remaining > 0, Remaining: max(remaining, 0)}
}

// Forget drops what is known of a Lease that is gone.
func (r *Reader) Forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, uid)
}

// Sidecars lists a server's sidecars from the API server.
func (r *Reader) Sidecars(ctx context.Context, namespace, server string) ([]Sidecar, error) {
	var leases coordinationv1.LeaseList
	err := r.Client.List(ctx, &leases, client.InNamespace(namespace), client.MatchingLabels(Labels(server)))
	if err != nil {
		return nil, fmt.Errorf("list leases of sidecars of %s/%s: %w", namespace, server, err)
	}
	sidecars := make([]Sidecar, 0, len(leases.Items))
	for i := range leases.Items {
		sidecars = append(sidecars, r.Note(&leases.Items[i]))
	}
	return sidecars, nil
}

// Pending lists the live sidecars of a server that have not observed a write to a RelayUser, given the
// resourceVersion of that write, and the shortest time after which one of them may have run out.
//
// The Leases are read from the API server, after the write. A sidecar that starts makes its Lease before
// it reads its users, so one whose Lease this read does not show will read the write.
func (r *Reader) Pending(ctx context.Context, namespace, server, resourceVersion string) ([]Sidecar, time.Duration, error) {
	sidecars, err := r.Sidecars(ctx, namespace, server)
	if err != nil {
		return nil, 0, err
	}
	var pending []Sidecar
	var wait time.Duration
	for _, s := range sidecars {
		if !s.Live || hasObserved(s.Lease, resourceVersion) {
			continue
		}
		if len(pending) == 0 || s.Remaining < wait {
			wait = s.Remaining
		}
		pending = append(pending, s)
	}
	return pending, wait, nil
}

// hasObserved is false for anything that is no resourceVersion: a Lease that cannot be understood vouches
// for nothing.
func hasObserved(l *coordinationv1.Lease, resourceVersion string) bool {
	order, err := resourceversion.CompareResourceVersion(l.Annotations[AnnotationObserved], resourceVersion)
	return err == nil && order >= 0
}

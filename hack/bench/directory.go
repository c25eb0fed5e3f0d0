package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"k8s.io/client-go/tools/cache"
)

// maxDirectoryShare is the part of a typed informer's memory that the directory may take. The design
// measured less than a sixth (59 MiB against 360) before accounts held all fields; a quarter still tells
// compact accounts from whole objects.
const maxDirectoryShare = 0.25

// measureDirectory compares the directory with what an informer's store keeps of the same objects.
func measureDirectory(ctx context.Context, l *lab) ([]Row, error) {
	users := scale(l, 50_000, 5_000)
	_, hash, err := newCredential()
	if err != nil {
		return nil, err
	}
	relay, err := memoryRelay(users, time.Second, hash)
	if err != nil {
		return nil, err
	}
	compact, err := retained(func() (any, error) {
		d, err := relay.read(ctx)
		if err == nil && d.Users() != users {
			err = fmt.Errorf("directory has %d users, want %d", d.Users(), users)
		}
		return d, err
	})
	if err != nil {
		return nil, err
	}
	typed, err := retained(func() (any, error) { return informerStore(relay, false) })
	if err != nil {
		return nil, err
	}
	stripped, err := retained(func() (any, error) { return informerStore(relay, true) })
	if err != nil {
		return nil, err
	}
	perUser := func(bytes float64) Figure { return Figure(bytes / float64(users)) }
	row := Row{
		What: fmt.Sprintf("heap for each of %d users", users), Unit: bytesUnit, Figure: perUser(compact), Floor: perUser(typed), Bound: ratioAtMost(maxDirectoryShare),
		Note: fmt.Sprintf("credentials included; the floor is the store of a typed informer; with managed fields stripped that takes %s a user", bytesUnit.format(float64(perUser(stripped)))),
	}
	return []Row{row}, nil
}

// informerStore is what an informer keeps, Secrets included.
func informerStore(m *memoryAPI, strip bool) (any, error) {
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	for i := range m.users {
		u, err := m.user(i)
		if err != nil {
			return nil, err
		}
		if strip {
			u.ManagedFields = nil
		}
		if err := store.Add(u); err != nil {
			return nil, err
		}
	}
	for _, s := range m.secrets {
		if err := store.Add(s.DeepCopy()); err != nil {
			return nil, err
		}
	}
	return store, nil
}

// retained is the heap that what is built holds on to.
func retained(build func() (any, error)) (float64, error) {
	before := liveHeap()
	built, err := build()
	if err != nil {
		return 0, err
	}
	after := liveHeap()
	runtime.KeepAlive(built)
	return float64(after) - float64(before), nil
}

// liveHeap collects twice: what the first frees of finalizers and pools, only the second finds.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

package authn

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/tegata-dev/tegata/internal/loginname"
)

// Bounds of the throttle's memory. At its bound a table forgets the least recently used entry.
const (
	maxThrottledUsers   = 1 << 17
	maxThrottledSources = 1 << 16
	maxThrottledDevices = 1 << 16
	// unknownNames is how many counters unknown names share. A spray of invented names fills all of them
	// and so refuses further unknown names unchecked; it does not touch the counters of real users.
	unknownNames = 1 << 14
)

// throttle limits password guessing. Every attempt takes one token of its login name's and one of its
// source's. A right password gives the name's back, a login that is allowed both. An attempt from the device that is bound takes from
// a lane of its own (user, source) instead, which nobody else can empty: so nobody can lock the owner
// out, and a copied fingerprint does not open unlimited guessing.
type throttle struct {
	now  func() time.Time
	seed maphash.Seed

	mu      sync.Mutex
	users   *simplelru.LRU[string, *bucket]
	sources *simplelru.LRU[netip.Addr, *bucket]
	devices *simplelru.LRU[deviceLane, *bucket]
	unknown [unknownNames]bucket
}

type deviceLane struct {
	uid    string
	source netip.Addr
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{
		now:     now,
		seed:    maphash.MakeSeed(),
		users:   newLRU[string](maxThrottledUsers),
		sources: newLRU[netip.Addr](maxThrottledSources),
		devices: newLRU[deviceLane](maxThrottledDevices),
	}
}

func newLRU[K comparable](size int) *simplelru.LRU[K, *bucket] {
	lru, err := simplelru.NewLRU[K, *bucket](size, nil)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return lru
}

// permit is the tokens that an attempt has taken.
type permit struct {
	throttle *throttle
	// name is the login name's, or the bound device's in its own lane; source is nil there.
	name, source *bucket
	policy       *Policy
}

// refundName gives the name's token back, refundAll the source's as well.
func (p *permit) refundName() {
	p.throttle.mu.Lock()
	defer p.throttle.mu.Unlock()
	p.name.refund(p.policy.PerUser)
}

func (p *permit) refundAll() {
	p.throttle.mu.Lock()
	defer p.throttle.mu.Unlock()
	p.name.refund(p.policy.PerUser)
	if p.source != nil {
		p.source.refund(p.policy.PerSource)
	}
}

// take takes the tokens of an attempt. The source's comes first, and stays taken when the name has none
// left: what is left of the source's must not tell which names are known, or hard pressed.
func (t *throttle) take(l *login) (permit, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	p := permit{throttle: t, policy: l.policy}
	source := sourceKey(l.attempt.Source)
	if l.fromBoundDevice() {
		p.name = find(t.devices, deviceLane{l.account.UID, source})
		return p, p.name.take(now, l.policy.PerUser)
	}
	p.name, p.source = t.user(l), find(t.sources, source)
	return p, p.source.take(now, l.policy.PerSource) && p.name.take(now, l.policy.PerUser)
}

// user is the bucket of a login name, in whichever spelling.
func (t *throttle) user(l *login) *bucket {
	if l.account != nil {
		return find(t.users, l.account.UID)
	}
	name, err := loginname.Normalize(l.attempt.UserName)
	if err != nil {
		name = l.attempt.UserName
	}
	return &t.unknown[maphash.String(t.seed, name)%unknownNames]
}

func find[K comparable](lru *simplelru.LRU[K, *bucket], key K) *bucket {
	if b, ok := lru.Get(key); ok {
		return b
	}
	b := &bucket{}
	lru.Add(key, b)
	return b
}

// sourceKey makes one source of an IPv6 /64, which one subscriber commonly has whole.
func sourceKey(a netip.Addr) netip.Addr {
	if a.Is6() && !a.Is4In6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a.Unmap()
}

// bucket is a token bucket by the generic cell rate algorithm: full is the time at which it will have
// all its tokens again. golang.org/x/time/rate cannot give back a token once it was taken.
type bucket struct {
	full time.Time
}

// take takes a token if there is one.
func (b *bucket) take(now time.Time, l Limit) bool {
	if b.full.Before(now) {
		b.full = now
	} else if latest := now.Add(l.Interval); b.full.After(latest) {
		b.full = latest // the limit was loosened since
	}
	full := b.full.Add(l.perToken())
	if full.Sub(now) > l.Interval {
		return false
	}
	b.full = full
	return true
}

func (b *bucket) refund(l Limit) { b.full = b.full.Add(-l.perToken()) }

func (l Limit) perToken() time.Duration { return l.Interval / time.Duration(max(l.Failures, 1)) }

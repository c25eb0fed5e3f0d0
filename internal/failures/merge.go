package failures

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
)

// batch is what has happened to one user since its status was last written.
type batch struct {
	// failures are distinct ones, at most a few times the history limit; count covers those that were
	// dropped, too.
	failures []v1alpha1.LoginFailure
	count    int64
	limit    int

	lastLogin time.Time
	seen      map[v1alpha1.Slot]seen

	// unsure says that the batch may have been stored by a write whose answer was lost.
	unsure bool
}

type seen struct {
	bindingID string
	at        time.Time
}

func (b *batch) empty() bool { return b.count == 0 && b.lastLogin.IsZero() }

// addFailure counts a failure with its equals.
func (b *batch) addFailure(f v1alpha1.LoginFailure, limit int) {
	b.limit = limit
	b.count += f.Count
	b.failures = mergeFailure(b.failures, f)
	b.failures = newestFirst(b.failures, limit)
}

func (b *batch) addLogin(slot v1alpha1.Slot, bindingID string, at time.Time) {
	if at.After(b.lastLogin) {
		b.lastLogin = at
	}
	if slot == "" || bindingID == "" {
		return
	}
	if b.seen == nil {
		b.seen = map[v1alpha1.Slot]seen{}
	}
	b.seen[slot] = seen{bindingID: bindingID, at: at}
}

// add takes back a batch that could not be stored; what came since then is newer.
func (b *batch) add(older *batch) {
	newerCount, newerLimit := b.count, b.limit
	for _, f := range older.failures {
		b.failures = mergeFailure(b.failures, f)
	}
	b.limit = max(newerLimit, older.limit)
	b.failures = newestFirst(b.failures, b.limit)
	b.count = newerCount + older.count
	if older.lastLogin.After(b.lastLogin) {
		b.lastLogin = older.lastLogin
	}
	for slot, s := range older.seen {
		if _, newer := b.seen[slot]; !newer {
			if b.seen == nil {
				b.seen = map[v1alpha1.Slot]seen{}
			}
			b.seen[slot] = s
		}
	}
}

// apply merges the batch into a status.
func (b *batch) apply(status *v1alpha1.RelayUserStatus) {
	if b.count > 0 {
		b.bringBack(status.RecentFailures)
		for _, f := range b.failures {
			status.RecentFailures = mergeFailure(status.RecentFailures, f)
		}
		status.RecentFailures = newestFirst(status.RecentFailures, b.limit)
		status.FailureCount = min(status.FailureCount+b.count, v1alpha1.MaxFailureCount)
		newest := status.RecentFailures[0]
		at := newest.LastTime
		status.LastFailure = v1alpha1.LastFailure{Reason: newest.Reason, Time: &at}
	}
	if at := metav1.NewTime(b.lastLogin); !b.lastLogin.IsZero() &&
		(status.LastLoginTime == nil || status.LastLoginTime.Before(&at)) {
		status.LastLoginTime = &at
	}
	for slot, s := range b.seen {
		binding.Seen(status, slot, s.bindingID, s.at)
	}
}

// maxClockSkew is how far apart sidecars' clocks may be without harm.
const maxClockSkew = time.Minute

// bringBack dates stored failures that are in this batch's future as of its newest. A clock that was ahead
// must not hide what happens now behind what it recorded.
func (b *batch) bringBack(stored []v1alpha1.LoginFailure) {
	newest := b.failures[0].LastTime
	latest := metav1.NewTime(newest.Add(maxClockSkew))
	for i := range stored {
		if latest.Before(&stored[i].LastTime) {
			stored[i].LastTime = newest
		}
	}
}

// landed says whether a status holds this batch already. The correlation id of its newest failure is
// unique, and stays in the list until as many newer ones as the limit have come.
func (b *batch) landed(status *v1alpha1.RelayUserStatus) bool {
	if len(b.failures) == 0 {
		return false
	}
	id := b.failures[0].CorrelationID
	return slices.ContainsFunc(status.RecentFailures, func(f v1alpha1.LoginFailure) bool {
		return f.CorrelationID == id
	})
}

// mergeFailure counts f with its equal in the list, or adds it.
func mergeFailure(list []v1alpha1.LoginFailure, f v1alpha1.LoginFailure) []v1alpha1.LoginFailure {
	i := slices.IndexFunc(list, func(o v1alpha1.LoginFailure) bool { return key(o) == key(f) })
	if i < 0 {
		return append(list, f)
	}
	known := &list[i]
	known.Count = min(known.Count+f.Count, v1alpha1.MaxFailureCount)
	if f.FirstTime.Before(&known.FirstTime) {
		known.FirstTime = f.FirstTime
	}
	if !f.LastTime.Before(&known.LastTime) {
		known.LastTime, known.CorrelationID = f.LastTime, f.CorrelationID
	}
	return list
}

// key is what makes two failures equal: all but times, count and correlation id.
func key(f v1alpha1.LoginFailure) v1alpha1.LoginFailure {
	f.FirstTime, f.LastTime, f.Count, f.CorrelationID = metav1.Time{}, metav1.Time{}, 0, ""
	return f
}

// newestFirst orders and bounds a list.
func newestFirst(list []v1alpha1.LoginFailure, limit int) []v1alpha1.LoginFailure {
	slices.SortStableFunc(list, func(a, b v1alpha1.LoginFailure) int { return b.LastTime.Compare(a.LastTime.Time) })
	return list[:min(len(list), max(limit, 1))]
}

package history

import (
	"cmp"
	"strings"
)

// Contradict says that two records with one ID are not tellings of one attempt: each tells the login, and another
// one, or one was admitted and the other was not. One of them is a lie.
func Contradict(a, b *Record) bool {
	return a.Result != b.Result || !a.Partial && !b.Partial && compare(a, b) != 0
}

// Merge makes one record of what is kept of an attempt, a, and what is told of it, b. In which order, how often and
// how many at a time the tellings of an attempt arrive makes no difference: of those that do not contradict each
// other, Merge is commutative, associative and idempotent. Where they do, what is kept stays as it is: nobody may
// have another login take the place of one that was told. A record's Namespace and Server are those of a.
func Merge(a, b Record) Record {
	if Contradict(&a, &b) {
		return a
	}
	if a.Partial && !b.Partial || a.Partial == b.Partial && compare(&a, &b) < 0 {
		b.Namespace, b.Server = a.Namespace, a.Server
		a, b = b, a
	}
	a.Expire = max(a.Expire, b.Expire)
	a.LastSeen = max(a.LastSeen, b.LastSeen)
	a.ReceivedBytes = max(a.ReceivedBytes, b.ReceivedBytes)
	a.SentBytes = max(a.SentBytes, b.SentBytes)
	a.End, a.EndTime = laterEnd(&a, &b)
	return a
}

// laterEnd is the end that knows more. Of two that know as much, it is the first where each would be the end of
// the connection itself, and the last where each is only one sidecar's.
func laterEnd(a, b *Record) (End, Millis) {
	if d := cmp.Compare(a.End.rank(), b.End.rank()); d != 0 {
		if d < 0 {
			a = b
		}
		return a.End, a.EndTime
	}
	order := cmp.Or(cmp.Compare(a.EndTime, b.EndTime), strings.Compare(string(a.End), string(b.End)))
	if a.End.rank() >= Stopped.rank() {
		order = -order
	}
	if order < 0 {
		a = b
	}
	return a.End, a.EndTime
}

// compare orders the tellings by what does not change of an attempt. Of partial ones, which know only a session's
// token, it must not matter which comes first.
func compare(a, b *Record) int {
	for _, d := range [...]int{
		strings.Compare(a.UserName, b.UserName), strings.Compare(a.User, b.User),
		strings.Compare(a.Program, b.Program), strings.Compare(a.Viewer, b.Viewer), strings.Compare(a.Slot, b.Slot),
		strings.Compare(string(a.Result), string(b.Result)), strings.Compare(a.Reason, b.Reason),
		compareBool(a.Enrolled, b.Enrolled),
		strings.Compare(a.SourceAddress, b.SourceAddress), strings.Compare(a.MACAddress, b.MACAddress),
		strings.Compare(a.Destination, b.Destination), strings.Compare(a.SourceViewer, b.SourceViewer),
		strings.Compare(a.Listener, b.Listener), strings.Compare(a.Sidecar, b.Sidecar),
		strings.Compare(a.CorrelationID, b.CorrelationID), strings.Compare(a.DeviceDigest, b.DeviceDigest),
	} {
		if d != 0 {
			return d
		}
	}
	return 0
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

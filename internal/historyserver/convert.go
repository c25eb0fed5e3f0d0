package historyserver

import (
	"math"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/google/uuid"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
)

// nameOf is the name under which a record is served. Names of objects are in lower case.
func nameOf(id history.ID) string { return strings.ToLower(id.String()) }

// parseName is the id that a name stands for. It may be in upper case: so a person who was denied was shown it, and
// quotes it in a ticket.
func parseName(name string) (history.ID, bool) {
	id, err := ulid.ParseStrict(name)
	return id, err == nil
}

// toAPI is a record as it is served. The version is that at which it was read: where it changes between two
// readings, so must the object's.
func toAPI(r *history.Record, version string) v1alpha1.AccessRecord {
	start := r.Start().Time()
	record := v1alpha1.AccessRecord{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AccessRecord"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Namespace, Name: nameOf(r.ID), UID: uidOf(r), ResourceVersion: version,
			CreationTimestamp: metav1.NewTime(start.Truncate(time.Second)),
		},
		Server: r.Server, User: r.User, UserName: r.UserName, Program: r.Program, Viewer: r.Viewer, Slot: r.Slot,
		Result: v1alpha1.Result(r.Result), Reason: r.Reason, Message: messageOf(r.Reason), Enrolled: r.Enrolled,
		StartTime: metav1.NewMicroTime(start), EndTime: microTime(r.Finish()),
		LastSeenTime: microTime(r.LastSeen), ExpireTime: microTime(r.Expire), Partial: r.Partial,
		SourceAddress: r.SourceAddress, MACAddress: r.MACAddress, DeviceDigest: r.DeviceDigest,
		Destination: r.Destination, SourceViewer: r.SourceViewer,
		Listener: r.Listener, Sidecar: r.Sidecar, CorrelationID: r.CorrelationID,
		ReceivedBytes: counted(r.ReceivedBytes), SentBytes: counted(r.SentBytes),
	}
	if record.CorrelationID == "" && r.Result == history.Failure {
		record.CorrelationID = r.ID.String()
	}
	if r.Result == history.Success {
		record.Duration = &metav1.Duration{Duration: r.Connected()}
		record.State, record.End = stateOf(r), v1alpha1.End(r.End)
	}
	return record
}

// uidOf tells records apart that have one id in two namespaces: each may have it.
func uidOf(r *history.Record) types.UID {
	return types.UID(uuid.NewSHA1(uuid.UUID(r.ID), []byte(r.Namespace)).String())
}

func stateOf(r *history.Record) v1alpha1.State {
	switch {
	case r.Open():
		return v1alpha1.StateOpen
	case r.End == history.Lost:
		return v1alpha1.StateLost
	}
	return v1alpha1.StateEnded
}

func microTime(m history.Millis) *metav1.MicroTime {
	if m == 0 {
		return nil
	}
	t := metav1.NewMicroTime(m.Time())
	return &t
}

// counted is a number as the API has them.
func counted(n uint64) int64 { return int64(min(n, math.MaxInt64)) } //nolint:gosec // bounded

// addUsage adds what a user has used of one more server.
func addUsage(sum *v1alpha1.UserUsage, u *history.Usage) {
	sum.Namespace, sum.Name, sum.User = u.Namespace, u.User, u.User
	sum.Servers = append(sum.Servers, u.Server)
	sum.ConnectedTime.Duration = history.AddTime(sum.ConnectedTime.Duration, u.Connected)
	sum.Attempts += counted(u.Attempts)
	sum.Failures += counted(u.Failures)
	if first := microTime(u.First); first != nil && (sum.FirstTime == nil || first.Before(sum.FirstTime)) {
		sum.FirstTime = first
	}
	if last := microTime(u.Last); last != nil && (sum.LastTime == nil || sum.LastTime.Before(last)) {
		sum.LastTime = last
	}
}

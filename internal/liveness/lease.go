// Package liveness owns the Leases by which sidecars tell the manager how far they have seen.
//
// A sidecar process holds one Lease. Each renewal states up to which resourceVersion of RelayUsers it has
// observed, and promises that it admits nobody once leaseDurationSeconds have passed since. Together
// these make a DeviceReset's "Complete" mean "enforced": every sidecar has either observed the clearing
// write or stopped admitting. Keeper is the sidecar's side, Reader the manager's.
package liveness

import (
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// AnnotationObserved holds the newest resourceVersion of RelayUsers that the sidecar has observed.
const AnnotationObserved = "tegata.dev/observed-resource-version"

// What a sidecar that has a history server tells of its records: how many it has lost since it began; and how many
// wait, in two digits, when the oldest has done so for minutes. While records are only on their way, that is 0.
const (
	AnnotationHistoryLost    = "tegata.dev/history-lost-records"
	AnnotationHistoryWaiting = "tegata.dev/history-waiting-records"
)

// LabelComponent marks the sidecars' Leases among those of the namespace.
const (
	LabelComponent   = "app.kubernetes.io/component"
	ComponentSidecar = "sidecar"
)

// LeaseNamePrefix begins the name of every Lease of a server's sidecars.
func LeaseNamePrefix(server string) string { return server + "-sidecar-" }

// Labels are the labels of every Lease of a server's sidecars.
func Labels(server string) map[string]string {
	return map[string]string{v1alpha1.LabelRelayServer: server, LabelComponent: ComponentSidecar}
}

// newLease is a sidecar's Lease. Its name has a part that is random for each process: a process that was
// killed and its successor, which may bear the same pod name, must not share one, or the successor's
// renewals would vouch for a predecessor that is only frozen.
func newLease(namespace, server, identity, process string) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      LeaseNamePrefix(server) + leaseNamePart(identity) + "-" + process,
			Labels:    Labels(server),
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &identity},
	}
}

// leaseNamePart makes a host's name fit for an object's name.
func leaseNamePart(identity string) string {
	clean := strings.Map(func(r rune) rune {
		if ('a' <= r && r <= 'z') || ('0' <= r && r <= '9') || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(identity))
	clean = strings.Trim(clean[:min(len(clean), 100)], "-")
	if clean == "" {
		return "unnamed"
	}
	return clean
}

// maxDuration is the longest that a RelayServer's maxStaleness may be. A Lease that claims more is not a
// sidecar's own, and must not hold resets up for longer.
const maxDuration = time.Hour

// duration is how long after its renewal a Lease runs out.
func duration(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return min(time.Duration(*l.Spec.LeaseDurationSeconds)*time.Second, maxDuration)
}

// Holder is the sidecar's name as its Lease states it.
func Holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity != "" {
		return *l.Spec.HolderIdentity
	}
	return l.Name
}

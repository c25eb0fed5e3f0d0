package directory

import (
	"net/netip"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/session"
)

// DecisionUser is a RelayUser as far as a decision depends on it.
func DecisionUser(u *v1alpha1.RelayUser) decision.User {
	d := decision.User{
		Administrator:     u.Spec.Type == v1alpha1.UserTypeAdministrator,
		Suspended:         u.Spec.Suspended,
		ValidFrom:         timeOf(u.Spec.ValidFrom),
		ValidUntil:        timeOf(u.Spec.ValidUntil),
		MinimumKind:       fingerprint.Kind(u.Spec.MinimumDeviceKind).Strength(),
		UnboundPermitted:  u.Spec.Programs.Viewer.Unbound,
		MobilePermitted:   u.Spec.Programs.Viewer.Mobile,
		CombinedPermitted: u.Spec.Programs.Viewer.Combined,
		ClientPermitted:   u.Spec.Programs.Client,
		ViewerNetwork:     network(u.Spec.Network.Viewer),
		ClientNetwork:     network(u.Spec.Network.Client),
		// The manager writes the first slot once it has made sure that no device of the user's was forgotten.
		SlotsUnknown: len(u.Status.Slots) == 0,
	}
	for slot, name := range SlotNames {
		if s := binding.Find(&u.Status, name); s != nil {
			d.Slots[slot] = slotState(s)
		}
	}
	return d
}

// SlotNames are the API's names of the decision's slots.
var SlotNames = [decision.SlotCount]v1alpha1.Slot{
	decision.SlotPC:     v1alpha1.SlotPC,
	decision.SlotMobile: v1alpha1.SlotMobile,
}

// slotState reads a slot so that whatever is inconsistent admits nobody: it counts as Registered without
// a digest, which matches no device. A slot that holds a binding is never free, whatever its state says.
func slotState(s *v1alpha1.SlotStatus) decision.SlotState {
	d := decision.SlotState{State: decision.Registered}
	switch {
	case s.State == v1alpha1.SlotRegistered && s.Binding != nil:
		d.Digest = decision.Digest(s.Binding.Digest)
		d.RegisteredTime = s.Binding.RegisteredTime.Time
	case s.State == v1alpha1.SlotReserved && s.Binding == nil:
		d.State = decision.Reserved
		d.Digest = decision.Digest(s.ReservedFor)
	case s.State == v1alpha1.SlotUnregistered && s.Binding == nil:
		d.State = decision.Unregistered
	}
	if len(s.Revoked) > 0 {
		d.Revoked = make([]decision.Digest, len(s.Revoked))
		for i := range s.Revoked {
			d.Revoked[i] = decision.Digest(s.Revoked[i].Digest)
		}
	}
	return d
}

// network reads limits. An entry that cannot be read stays in the list as one that matches nothing, so
// that a list of such entries does not become an empty one, which permits all.
func network(l v1alpha1.NetworkLimits) decision.Network {
	var n decision.Network
	if len(l.AllowedCIDRs) > 0 {
		n.CIDRs = prefixes(l.AllowedCIDRs)
	}
	if len(l.AllowedMACs) > 0 {
		n.MACs = make([]decision.MAC, len(l.AllowedMACs))
		for i, m := range l.AllowedMACs {
			n.MACs[i], _ = decision.ParseMAC(string(m))
		}
	}
	return n
}

func prefixes(cidrs []v1alpha1.CIDR) []netip.Prefix {
	parsed := make([]netip.Prefix, len(cidrs))
	for i, c := range cidrs {
		parsed[i], _ = netip.ParsePrefix(string(c))
	}
	return parsed
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func accountOf(u *v1alpha1.RelayUser) *authn.Account {
	a := &authn.Account{
		Name: u.Name,
		UID:  string(u.UID),
		User: DecisionUser(u),
		PasswordSaving: authn.PasswordSaving{
			Login: u.Spec.PasswordSaving.Login, Windows: u.Spec.PasswordSaving.Windows,
		},
		EndedSessions: endedSessions(u),
		LastFailure:   timeOf(u.Status.LastFailure.Time),
		LastLogin:     timeOf(u.Status.LastLoginTime),
	}
	for slot, name := range SlotNames {
		if s := binding.Find(&u.Status, name); s != nil && s.Binding != nil {
			a.BindingIDs[slot] = s.Binding.ID
		}
	}
	return a
}

func endedSessions(u *v1alpha1.RelayUser) *authn.EndedSessions {
	stored := &u.Status.EndedSessions
	if len(stored.IDs) == 0 && stored.UpTo == "" && u.Spec.EndSessionsBefore == nil {
		return nil
	}
	return &authn.EndedSessions{
		Ended:  session.Ended{IDs: stored.IDs, UpTo: stored.UpTo},
		Before: timeOf(u.Spec.EndSessionsBefore),
	}
}

// policyOf reads a RelayServer's policy.
func policyOf(s *v1alpha1.RelayServer) *authn.Policy {
	spec := &s.Spec
	p := &authn.Policy{
		Host:                spec.Host,
		ReservedOnly:        spec.Enrollment == v1alpha1.EnrollmentReservedOnly,
		FailureHistoryLimit: int(spec.FailureHistoryLimit),
		PerUser:             limitOf(spec.Throttle.PerUser),
		PerSource:           limitOf(spec.Throttle.PerSource),
		SessionTTL:          spec.Session.TTL.Duration,
		SessionsPerUser:     int(spec.Session.MaxPerUser),
		MinimumKind:         fingerprint.Kind(spec.MinimumDeviceKind).Strength(),
		MaxStaleness:        spec.MaxStaleness.Duration,
		TrustedProxies:      prefixes(spec.TrustedProxies),
		KeepUnknownNames:    spec.History.UnknownUserNames == v1alpha1.UnknownUserNamesKeep,
		Denial: authn.Denial{
			Code:         int(spec.Denial.Code),
			ResponseTime: spec.Denial.ResponseTime.Duration,
		},
	}
	if len(spec.Denial.Messages) > 0 {
		p.Denial.Messages = make(map[string]string, len(spec.Denial.Messages))
		for _, m := range spec.Denial.Messages {
			p.Denial.Messages[m.Language] = m.Text
		}
	}
	return p
}

func limitOf(l v1alpha1.ThrottleLimit) authn.Limit {
	return authn.Limit{Failures: int(l.Failures), Interval: l.Interval.Duration}
}

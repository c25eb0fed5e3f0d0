package why

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// verdict is what follows from a failure.
type verdict struct {
	code shell.Code
	// fine says why there is nothing to mend, and mended that the user has logged in since.
	fine, mended bool
	// serverFirst is what is wrong with the server: till that is mended, a reset may throw a device out that is well.
	serverFirst string
	// notReady is what keeps the user from being Ready, as the manager says it.
	notReady string
	// command mends it; empty when no command does. advice says what it does, or what does instead.
	command string
	advice  advice
}

// advice is in both languages.
type advice struct{ english, japanese string }

func failureOf(r *historyv1alpha1.AccessRecord) *v1alpha1.LoginFailure {
	at := metav1.NewTime(r.StartTime.Time)
	return &v1alpha1.LoginFailure{
		Reason: v1alpha1.Reason(r.Reason), FirstTime: at, LastTime: at, Count: 1,
		Slot: v1alpha1.Slot(r.Slot), Program: v1alpha1.Program(r.Program), SourceAddress: r.SourceAddress, MACAddress: r.MACAddress,
		Digest: v1alpha1.DeviceDigest(r.DeviceDigest), Sidecar: r.Sidecar, CorrelationID: r.CorrelationID,
	}
}

// judge says what mends a failure. It is pure.
func judge(s *subject) verdict {
	if s.failure != nil && s.user == nil {
		return verdict{code: shell.SomethingElseHelps, advice: noUser(s), command: "kubectl get relayusers"}
	}
	if s.elsewhere != "" {
		return verdict{code: shell.SomethingElseHelps, advice: foreign(s)}
	}
	v := s.verdict()
	if v.command != "" {
		v.command += " -n " + s.user.Namespace
	}
	return v
}

func (s *subject) verdict() verdict {
	barred, isBarred := s.barred()
	switch problem := serverProblem(s); {
	case s.failure != nil && problem != "" && !s.mended():
		return verdict{code: shell.SomethingElseHelps, serverFirst: problem, command: "kubectl relay doctor"}
	case isBarred:
		return barred
	case s.failure == nil:
		return verdict{code: shell.Done, fine: true}
	case s.mended():
		return verdict{code: shell.Done, fine: true, mended: true}
	}
	return s.remedy()
}

// mended says that the user has logged in since the last failure.
func (s *subject) mended() bool { return s.newest && loggedInSince(s) }

// barred is what keeps the user out now, whatever the last failure was: who asks why somebody cannot log in must not
// be told of a device that was refused last week, or that nothing is wrong.
func (s *subject) barred() (verdict, bool) {
	if !s.newest || s.user == nil {
		return verdict{}, false
	}
	if s.user.Spec.Suspended {
		return verdict{code: shell.SomethingElseHelps, command: "kubectl relay resume " + s.user.Name, advice: advice{
			"The user is suspended now: every login is refused, and no reset helps. To let the person in again:",
			"現在、このユーザは利用停止中です。初期化では解消しません。利用を再開する場合："}}, true
	}
	ready := meta.FindStatusCondition(s.user.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionFalse {
		return verdict{}, false
	}
	return verdict{code: shell.SomethingElseHelps, notReady: ready.Reason + ": " + ready.Message, advice: advice{
		"The user is not Ready, and cannot log in until that is mended (docs/relayuser.md#status):",
		"現在、このユーザはログインできる状態 (Ready) にありません。まず次の問題を解消してください (docs/relayuser.md#status)："}}, true
}

func loggedInSince(s *subject) bool {
	last := s.user.Status.LastLoginTime
	return last != nil && last.After(s.failure.LastTime.Time)
}

// serverProblem is what the RelayServer says is wrong with it. One that cannot be read says nothing.
func serverProblem(s *subject) string {
	if !s.serverKnown {
		return ""
	}
	if ready := meta.FindStatusCondition(s.server.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Status == metav1.ConditionFalse {
		return ready.Message
	}
	return ""
}

func noUser(s *subject) advice {
	if s.failure.Reason == v1alpha1.ReasonUnknownUser {
		return advice{"No reset helps: nobody has that login name. Check its spelling, the server, and that the user is Ready.",
			"初期化では解消しません。ユーザ名の綴り、サーバ、ユーザの状態 (READY) を確認してください。"}
	}
	return advice{"The user has been deleted since.", "ユーザはその後削除されています。"}
}

// foreign is what is said of an attempt that a server tells of as one of another server's user. A sidecar that was taken
// over can tell so of anybody: what would mend it must not be suggested.
func foreign(s *subject) advice {
	return advice{"The attempt was at the server " + s.elsewhere + ", and " + s.user.Name + " is a user of " + s.user.Spec.ServerRef.Name +
		": do not reset anything for it. Unless the user was moved since, look at who runs " + s.elsewhere + ".",
		"この試行はサーバ " + s.elsewhere + " のものですが、" + s.user.Name + " はサーバ " + s.user.Spec.ServerRef.Name +
			" のユーザです。初期化しないでください。"}
}

// reset is the command that frees slots, for next only where that is given.
func (s *subject) reset(next v1alpha1.DeviceDigest, slots ...v1alpha1.Slot) verdict {
	var names []string
	for _, slot := range slots {
		names = append(names, string(slot))
	}
	command := "kubectl relay reset " + s.user.Name + " --slot " + strings.Join(names, ",")
	if next != "" {
		command += " --next-device=" + string(next)
	}
	return verdict{code: shell.ResetHelps, command: command}
}

// boundSlots are those that hold a device.
func (s *subject) boundSlots() []v1alpha1.Slot {
	var slots []v1alpha1.Slot
	for i := range s.user.Status.Slots {
		if slot := &s.user.Status.Slots[i]; slot.Binding != nil {
			slots = append(slots, slot.Slot)
		}
	}
	slices.Sort(slots)
	slices.Reverse(slots) // pc first
	return slots
}

func (s *subject) isBound(slot v1alpha1.Slot) bool { return slices.Contains(s.boundSlots(), slot) }

// resetSince says whether the slot was reset after the failure: the person has only to try again.
func (s *subject) resetSince(slots ...v1alpha1.Slot) bool {
	for i := range s.user.Status.Slots {
		slot := &s.user.Status.Slots[i]
		if slices.Contains(slots, slot.Slot) && slot.LastResetTime != nil && slot.LastResetTime.After(s.failure.LastTime.Time) {
			return true
		}
	}
	return false
}

var digestPattern = regexp.MustCompile(`^[a-z0-9]{1,16}:[A-Za-z0-9_-]{43}$`)

// What a failure tells was written by a sidecar, so it may go into a command only as what it must be: else
// whoever has taken a sidecar over could have an administrator run something.

func (s *subject) digest() v1alpha1.DeviceDigest {
	if !digestPattern.MatchString(string(s.failure.Digest)) {
		return ""
	}
	return s.failure.Digest
}

func (s *subject) slot() v1alpha1.Slot {
	if s.failure.Slot == v1alpha1.SlotMobile {
		return v1alpha1.SlotMobile
	}
	return v1alpha1.SlotPC
}

// network is the failure's address as a network of one.
func (s *subject) network() string {
	address, err := netip.ParseAddr(s.failure.SourceAddress)
	if err != nil || address.Zone() != "" {
		return ""
	}
	return netip.PrefixFrom(address, address.BitLen()).String()
}

var macPattern = regexp.MustCompile(`^[0-9a-fA-F:.-]{12,17}$`)

func (s *subject) mac() string {
	if !macPattern.MatchString(s.failure.MACAddress) {
		return ""
	}
	return s.failure.MACAddress
}

func (s *subject) sidecar() string {
	if len(validation.IsDNS1123Subdomain(s.failure.Sidecar)) > 0 {
		return ""
	}
	return s.failure.Sidecar
}

func (s *subject) program() string {
	if s.failure.Program == v1alpha1.ProgramClient {
		return "client"
	}
	return "viewer"
}

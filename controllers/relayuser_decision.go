package controllers

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/decision"
)

// userFacts are all that the decision about a user depends on.
type userFacts struct {
	user *v1alpha1.RelayUser
	// server is the user's server, nil when there is none.
	server *v1alpha1.RelayServer
	// winner is who is served under the user's login name, nil when that is no login name.
	winner *v1alpha1.RelayUser
	// password is where the credential comes from, or why it cannot. It is looked at last, so there is none
	// when something else is in the way.
	password passwordFacts
	// record is what came of looking after the record of the user's devices.
	record recordFacts
}

// userPlan is what is to be done about a user.
type userPlan struct {
	// serve says that the sidecars get the user's credential; else it is withdrawn.
	serve bool
	// settled says that status says all that is known of the user's devices; else nobody enrols.
	settled    bool
	conditions []condition
	// retry is how soon to look again, when no watch would tell.
	retry time.Duration
}

// decideUser decides on facts alone.
func decideUser(facts userFacts) userPlan {
	problem := credentialProblem(facts)
	plan := userPlan{
		serve: problem == nil, settled: facts.record.settled,
		retry: earliest(retryAfter(facts.password.problem), facts.record.retry),
	}
	if problem == nil {
		problem = serverProblem(facts)
	}
	if problem == nil {
		problem = facts.record.problem
	}
	plan.conditions = []condition{
		ready(problem), resetRecommended(facts), slotNotPermitted(facts.user), bindingsRecorded(facts),
	}
	return plan
}

// credentialProblem is why the user gets no credential.
func credentialProblem(facts userFacts) *obstacle {
	user := facts.user
	switch {
	case facts.server == nil:
		return serverProblem(facts)
	case facts.winner == nil:
		return &obstacle{v1alpha1.ReasonUserNameInvalid,
			"the login name is not one that RFC 8265 (UsernameCaseMapped) permits; create a new RelayUser with another"}
	case facts.winner.UID != user.UID:
		return &obstacle{v1alpha1.ReasonUserNameConflict, fmt.Sprintf(
			"the older RelayUser %s has the same login name on RelayServer %s and is served; this one is not",
			facts.winner.Name, user.Spec.ServerRef.Name)}
	}
	return facts.password.problem
}

// serverProblem is why nobody can log in at the user's server, whatever the credential.
func serverProblem(facts userFacts) *obstacle {
	if facts.server == nil {
		return &obstacle{v1alpha1.ReasonServerNotFound, fmt.Sprintf(
			"there is no RelayServer %s in namespace %s", facts.user.Spec.ServerRef.Name, facts.user.Namespace)}
	}
	condition := meta.FindStatusCondition(facts.server.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case condition == nil:
		return &obstacle{v1alpha1.ReasonServerNotReady, fmt.Sprintf(
			"RelayServer %s has not been set up yet", facts.server.Name)}
	case condition.Status != metav1.ConditionTrue:
		return &obstacle{v1alpha1.ReasonServerNotReady, fmt.Sprintf(
			"RelayServer %s is not ready: %s", facts.server.Name, condition.Reason)}
	}
	return nil
}

func ready(problem *obstacle) condition {
	if problem != nil {
		return isNot(v1alpha1.ConditionReady, problem.reason, problem.message)
	}
	return is(v1alpha1.ConditionReady, v1alpha1.ReasonUserReady, "the user can log in")
}

// report writes the plan into the status.
func (p *userPlan) report(user *v1alpha1.RelayUser, now metav1.Time) {
	status := &user.Status
	status.ObservedGeneration = user.Generation
	for slot, wanted := range map[v1alpha1.Slot]bool{
		v1alpha1.SlotPC: p.settled, v1alpha1.SlotMobile: p.settled && user.Spec.Programs.Viewer.Mobile,
	} {
		if wanted {
			binding.Ensure(status, slot)
		} else {
			binding.Drop(status, slot)
		}
	}
	set(&status.Conditions, user.Generation, now, p.conditions...)
}

// servedBefore orders users of one login name.
func servedBefore(a, b *v1alpha1.RelayUser) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.UID < b.UID
	}
	return a.CreationTimestamp.Before(&b.CreationTimestamp)
}

func slotNotPermitted(user *v1alpha1.RelayUser) condition {
	slots := boundNotPermitted(user)
	if len(slots) == 0 {
		return isNot(v1alpha1.ConditionSlotNotPermitted, v1alpha1.ReasonSlotsPermitted,
			"spec.programs permits every slot that holds a device")
	}
	return is(v1alpha1.ConditionSlotNotPermitted, v1alpha1.ReasonBoundSlotNotPermitted, fmt.Sprintf(
		"a device is registered in %s, which spec.programs does not permit; it is refused", joinSlots(slots)))
}

// boundNotPermitted are the slots whose device is refused because of spec.programs.
func boundNotPermitted(user *v1alpha1.RelayUser) []v1alpha1.Slot {
	programs := user.Spec.Programs.Viewer
	account := decision.User{MobilePermitted: programs.Mobile, CombinedPermitted: programs.Combined}
	slots := []struct {
		name  v1alpha1.Slot
		index decision.Slot
	}{{v1alpha1.SlotPC, decision.SlotPC}, {v1alpha1.SlotMobile, decision.SlotMobile}}
	for _, s := range slots {
		if status := binding.Find(&user.Status, s.name); status != nil && status.Binding != nil {
			account.Slots[s.index] = decision.SlotState{
				State: decision.Registered, RegisteredTime: status.Binding.RegisteredTime.Time,
			}
		}
	}
	var refused []v1alpha1.Slot
	for _, s := range slots {
		if account.Slots[s.index].State == decision.Registered && !account.SlotPermitted(s.index) {
			refused = append(refused, s.name)
		}
	}
	return refused
}

func joinSlots(slots []v1alpha1.Slot) string {
	names := make([]string, len(slots))
	for i, slot := range slots {
		names[i] = string(slot)
	}
	return strings.Join(names, " and ")
}

package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/bindingrecord"
	"github.com/tegata-dev/tegata/internal/loginname"
	"github.com/tegata-dev/tegata/internal/statuspatch"
)

// recordFacts are what came of looking after the record of a user's devices.
type recordFacts struct {
	// settled says that status says all that is known of the devices.
	settled bool
	// problem is why it does not.
	problem *obstacle
	// behind is why the record could not be written, empty when it could.
	behind string
	// forgets says that the record knows that it goes with the object.
	forgets bool
	retry   time.Duration
}

// Words of events about lost devices.
const (
	eventBindingsRestored = "BindingsRestored"
	actionRestore         = "Restore"
)

// keepRecord writes the record of the user's devices, or restores them from it if status has lost them. It must be done
// before a slot is declared free by a first word about it. Of a user who is not served there is no record: it is that of
// whoever is.
func (r *userReconciler) keepRecord(ctx context.Context, facts userFacts) (recordFacts, error) {
	user := facts.user
	if !served(facts.winner, user) {
		r.behind.set(client.ObjectKeyFromObject(user), false)
		return recordFacts{}, nil
	}
	lost := len(bindingrecord.Of(&user.Status)) == 0
	slots, err := r.records.settle(ctx, user, facts.server != nil)
	if err == nil && slots != nil {
		err = r.restore(ctx, user, slots)
	}
	refused := &recordRefusedError{}
	switch {
	case errors.As(err, &refused) && lost:
		return r.cannotRestore(user, refused.why), nil
	case errors.As(err, &refused):
		r.behind.set(client.ObjectKeyFromObject(user), true)
		return recordFacts{settled: true, behind: refused.why, retry: obstacleRetry}, nil
	case err != nil && !apierrors.IsConflict(err):
		r.behind.set(client.ObjectKeyFromObject(user), true)
		return recordFacts{}, fmt.Errorf("record of user %s/%s: %w", user.Namespace, user.Name, err)
	case err != nil:
		return recordFacts{}, err
	}
	r.behind.set(client.ObjectKeyFromObject(user), false)
	return recordFacts{settled: true, forgets: slots == nil && bindingrecord.Forgets(user)}, nil
}

// served says whether a user is the one who is served under the login name.
func served(winner, user *v1alpha1.RelayUser) bool { return winner != nil && winner.UID == user.UID }

// restore writes recorded slots into the status.
func (r *userReconciler) restore(ctx context.Context, user *v1alpha1.RelayUser, slots []v1alpha1.SlotStatus) error {
	_, err := statuspatch.Apply(ctx, r, user, func(u *v1alpha1.RelayUser) { bindingrecord.RestoreTo(&u.Status, slots) })
	if apierrors.IsInvalid(err) {
		return &recordRefusedError{"what is recorded is nothing that a status may hold"}
	}
	if err != nil {
		return err
	}
	bindingsRestored.Inc()
	r.recorder.Eventf(user, nil, corev1.EventTypeNormal, eventBindingsRestored, actionRestore,
		"status had lost the user's devices: they were restored from their record, %s", placeOfRecord(user))
	return nil
}

// placeOfRecord is where a user's record is.
func placeOfRecord(user *v1alpha1.RelayUser) string {
	login, err := loginname.Normalize(user.LoginName())
	if err != nil {
		return "" // nobody is served under such a name
	}
	return fmt.Sprintf("the key %s of Secret %s", bindingrecord.Key(login), bindingrecord.SecretName(user.Spec.ServerRef.Name, login))
}

// cannotRestore tells, once, that nobody can enrol.
func (r *userReconciler) cannotRestore(user *v1alpha1.RelayUser, why string) recordFacts {
	message := fmt.Sprintf("status says nothing of the user's devices, and their record cannot be used, so no device can "+
		"be registered: %s. Restore it from a backup, or remove it (%s), which forgets the devices",
		why, placeOfRecord(user))
	before := meta.FindStatusCondition(user.Status.Conditions, v1alpha1.ConditionBindingsRecorded)
	if before == nil || before.Reason != v1alpha1.ReasonBindingsNotRestored {
		r.recorder.Eventf(user, nil, corev1.EventTypeWarning, v1alpha1.ReasonBindingsNotRestored, actionRestore, "%s", clip(message, maxNote))
	}
	r.behind.lose(client.ObjectKeyFromObject(user))
	return recordFacts{problem: &obstacle{v1alpha1.ReasonBindingsNotRestored, message}, retry: obstacleRetry}
}

// bindingsRecorded tells of the record.
func bindingsRecorded(facts userFacts) condition {
	record := facts.record
	switch {
	case !served(facts.winner, facts.user):
		return isNot(v1alpha1.ConditionBindingsRecorded, v1alpha1.ReasonNotServed, "this user is not served, and no device can be registered")
	case record.problem != nil:
		return isNot(v1alpha1.ConditionBindingsRecorded, record.problem.reason, record.problem.message)
	case record.behind != "":
		return isNot(v1alpha1.ConditionBindingsRecorded, v1alpha1.ReasonRecordBehind,
			"should status be lost, so is what was registered or reset since: "+record.behind)
	case record.forgets:
		return is(v1alpha1.ConditionBindingsRecorded, v1alpha1.ReasonForgottenOnDelete,
			"when this object is deleted, its devices are forgotten, because of the annotation "+v1alpha1.AnnotationForgetBindings)
	}
	return is(v1alpha1.ConditionBindingsRecorded, v1alpha1.ReasonRecorded,
		"should status be lost, the user's devices are restored from their record")
}

// behindRecords counts the users whose record does not say what their status says.
type behindRecords struct {
	mu           sync.Mutex
	behind, lost map[types.NamespacedName]bool
}

func newBehindRecords() *behindRecords {
	return &behindRecords{behind: map[types.NamespacedName]bool{}, lost: map[types.NamespacedName]bool{}}
}

// set notes whether a user's record is behind. In either case status has lost nothing.
func (b *behindRecords) set(user types.NamespacedName, behind bool) { b.note(user, behind, false) }

// lose notes that a user's status has lost what the record does not tell.
func (b *behindRecords) lose(user types.NamespacedName) { b.note(user, false, true) }

func (b *behindRecords) note(user types.NamespacedName, behind, lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for set, member := range map[*map[types.NamespacedName]bool]bool{&b.behind: behind, &b.lost: lost} {
		if member {
			(*set)[user] = true
		} else {
			delete(*set, user)
		}
	}
	recordsBehind.Set(float64(len(b.behind)))
	bindingsNotRestored.Set(float64(len(b.lost)))
}

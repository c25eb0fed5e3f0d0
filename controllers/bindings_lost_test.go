package controllers_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/bindingrecord"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// boundWorld has a server and taro, whose PC is "old", which is recorded.
func boundWorld(t *testing.T) (w *world, stop func()) {
	t.Helper()
	w = newWorld(t)
	stop = w.startManager()
	// A temporary password would belong to the object that goes.
	w.create(testenv.Server(w.namespace, "asp1"), testenv.PasswordSecret(w.namespace, "taro-password", "correct-horse-battery"), w.taro())
	w.userReady("taro")
	w.bind("taro", v1alpha1.SlotPC, "old")
	w.recordBecomes("taro", func(r *bindingrecord.Record) error { return recordHolds(r, "old") })
	return w, stop
}

// taro is the object as Git has it.
func (w *world) taro(options ...func(*v1alpha1.RelayUser)) *v1alpha1.RelayUser {
	return testenv.User(w.namespace, "taro", "asp1", append(options, testenv.WithPasswordSecret("taro-password"))...)
}

// record is what is recorded of a login name at asp1, nil for nothing.
func (w *world) record(login string) *bindingrecord.Record {
	w.Helper()
	secret := w.secret(bindingrecord.SecretName("asp1", login))
	if secret == nil || secret.Data[bindingrecord.Key(login)] == nil {
		return nil
	}
	r, err := bindingrecord.Decode(secret.Data[bindingrecord.Key(login)], login)
	if err != nil {
		return &bindingrecord.Record{} // spoilt, which holds nothing
	}
	return r
}

func (w *world) recordBecomes(login string, check func(*bindingrecord.Record) error) {
	w.Helper()
	w.eventually(func() error { return check(w.record(login)) })
}

// recordHolds says whether the record has a PC; empty for none.
func recordHolds(r *bindingrecord.Record, id string) error {
	if r == nil {
		return errors.New("there is no record")
	}
	return slotHolds(&v1alpha1.RelayUser{Status: v1alpha1.RelayUserStatus{Slots: r.Slots}}, v1alpha1.SlotPC, id)
}

// setRecord changes taro's record behind the manager's back.
func (w *world) setRecord(mutate func(*bindingrecord.Record)) {
	w.Helper()
	r := w.record("taro")
	mutate(r)
	value, err := bindingrecord.Encode(*r)
	w.must(err)
	edit(w, w.secret(bindingrecord.SecretName("asp1", "taro")), func(s *corev1.Secret) { s.Data[bindingrecord.Key("taro")] = value })
}

func (w *world) wipe(name string) {
	w.Helper()
	w.change(name, func(u *v1alpha1.RelayUser) { u.Status = v1alpha1.RelayUserStatus{FailureCount: 3} })
}

func (w *world) holds(name, id string) {
	w.Helper()
	w.eventually(func() error {
		if user := w.user(name); len(user.Status.Slots) > 0 {
			return slotHolds(user, v1alpha1.SlotPC, id)
		}
		return errors.New("status says nothing of slots")
	})
}

func TestLostStatusIsRestored(t *testing.T) {
	again := func(options ...func(*v1alpha1.RelayUser)) func(w *world) {
		return func(w *world) {
			w.delete(w.user("taro"))
			w.create(w.taro(options...))
		}
	}
	for name, lose := range map[string]func(w *world){
		"status wiped":                   func(w *world) { w.wipe("taro") },
		"deleted and applied again":      again(),
		"applied under another spelling": again(func(u *v1alpha1.RelayUser) { u.Spec.UserName = "ＴＡＲＯ" }),
		"wiped by an older manager": func(w *world) {
			w.change("taro", func(u *v1alpha1.RelayUser) {
				u.Status = v1alpha1.RelayUserStatus{}
				binding.Ensure(&u.Status, v1alpha1.SlotPC)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, stop := boundWorld(t)
			lose(w)
			w.holds("taro", "old")
			w.userReady("taro")
			w.userBecomes("taro", v1alpha1.ConditionBindingsRecorded, metav1.ConditionTrue, v1alpha1.ReasonRecorded, "")
			w.hasEvent("RelayUser", "taro", "restored from their record", bindingrecord.SecretName("asp1", "taro"))

			// While nobody can restore it, no slot is free.
			stop()
			lose(w)
			if user := w.user("taro"); name != "wiped by an older manager" && len(user.Status.Slots) > 0 {
				t.Fatalf("slots %+v without a manager", user.Status.Slots)
			}
			w.startManager()
			w.holds("taro", "old")
		})
	}
}

// TestResetUsersStayReset: what a reset has done comes back with the status, and is done once.
func TestResetUsersStayReset(t *testing.T) {
	w, _ := boundWorld(t)
	w.create(w.aReset("new-pc", "taro", onPC))
	w.resetBecomes("new-pc", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
	w.must(recordHolds(w.record("taro"), ""))

	w.delete(w.user("taro"))
	w.delete(w.reset("new-pc"))
	w.create(w.aReset("new-pc", "taro", onPC), w.taro())
	w.resetBecomes("new-pc", metav1.ConditionTrue, v1alpha1.ReasonAlreadyHandled, "")
	w.holds("taro", "")
	if s := w.user("taro").Status.Slots[0]; s.LastResetTime == nil || len(s.Revoked) != 1 || s.Revoked[0].Digest != digest("old") {
		t.Errorf("slot %+v: want the removed device kept out", s)
	}

	w.bind("taro", v1alpha1.SlotPC, "new")
	w.recordBecomes("taro", func(r *bindingrecord.Record) error { return recordHolds(r, "new") })
	w.delete(w.user("taro"))
	w.delete(w.reset("new-pc"))
	w.create(w.aReset("new-pc", "taro", onPC), w.taro())
	w.resetBecomes("new-pc", metav1.ConditionTrue, v1alpha1.ReasonAlreadyHandled, "")
	w.holds("taro", "new")
}

// TestResetReachesTheRecordFirst: between the two writes, status is the truth.
func TestResetReachesTheRecordFirst(t *testing.T) {
	w, _ := boundWorld(t)
	c, err := client.NewWithWatch(w.env.Config, client.Options{Scheme: w.env.Scheme})
	w.must(err)
	page := bindingrecord.SecretName("asp1", "taro")
	users, err := c.Watch(t.Context(), &v1alpha1.RelayUserList{}, client.InNamespace(w.namespace))
	w.must(err)
	defer users.Stop()
	secrets, err := c.Watch(t.Context(), &corev1.SecretList{}, client.InNamespace(w.namespace), client.MatchingFields{"metadata.name": page})
	w.must(err)
	defer secrets.Stop()
	w.create(w.aReset("new-pc", "taro", onPC))

	// Both have one sequence of versions: that of etcd.
	inRecord := versionOf(w, secrets, func(s *corev1.Secret) bool {
		r, err := bindingrecord.Decode(s.Data[bindingrecord.Key("taro")], "taro")
		return err == nil && recordHolds(r, "") == nil
	})
	inStatus := versionOf(w, users, func(u *v1alpha1.RelayUser) bool { return slotHolds(u, v1alpha1.SlotPC, "") == nil })
	if inRecord >= inStatus {
		t.Errorf("the record was written at %d, and status at %d", inRecord, inStatus)
	}
}

// versionOf is that of the first object that is so.
func versionOf[T client.Object](w *world, events watch.Interface, so func(T) bool) (version int64) {
	w.Helper()
	limit := time.After(soon)
	for {
		select {
		case event := <-events.ResultChan():
			if obj, ok := event.Object.(T); ok && so(obj) {
				_, err := fmt.Sscan(obj.GetResourceVersion(), &version)
				w.must(err)
				return version
			}
		case <-limit:
			w.Fatal("no such object")
		}
	}
}

// TestCrashBetweenRecordAndStatus: the manager stops after it has recorded what a reset is about to make of a user.
func TestCrashBetweenRecordAndStatus(t *testing.T) {
	for name, wiped := range map[string]bool{"status is there": false, "status is lost too": true} {
		t.Run(name, func(t *testing.T) {
			w, stop := boundWorld(t)
			stop()
			reset := w.crashed("old")
			user := w.user("taro")
			binding.Release{
				Slot: v1alpha1.SlotPC, BindingID: "old", RequestID: "new-pc", UID: string(reset.UID),
				PreviousDevice: v1alpha1.PreviousDeviceDeny, Now: time.Now(),
			}.Apply(&user.Status)
			w.setRecord(func(r *bindingrecord.Record) { *r = bindingrecord.New(user, "taro") })
			if wiped {
				w.wipe("taro")
			}
			w.startManager()
			w.resetBecomes("new-pc", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
			w.holds("taro", "")
			if s := w.user("taro").Status.Slots[0]; len(s.Revoked) != 1 || s.Revoked[0].Digest != digest("old") || len(s.HandledResets) != 1 {
				t.Errorf("slot %+v: want the removed device kept out", s)
			}
		})
	}
}

// TestRecordComesLast: a restore brings the user first, and a device registers before the record is there.
func TestRecordComesLast(t *testing.T) {
	w, _ := boundWorld(t)
	backup := w.secret(bindingrecord.SecretName("asp1", "taro"))
	w.delete(w.user("taro"))
	w.create(testenv.User(w.namespace, "hanako", "asp1", testenv.WithPasswordSecret("taro-password")))
	w.userReady("hanako") // by now the manager knows that taro is gone: before, it would write the record again
	w.delete(backup)
	w.create(w.taro())
	w.holds("taro", "")
	w.bind("taro", v1alpha1.SlotPC, "thief")
	w.recordBecomes("taro", func(r *bindingrecord.Record) error { return recordHolds(r, "thief") })

	edit(w, w.secret(backup.Name), func(s *corev1.Secret) { s.Data = backup.Data })
	w.holds("taro", "old")
	w.recordBecomes("taro", func(r *bindingrecord.Record) error { return recordHolds(r, "old") })
}

func TestOneLoginNameOfTwo(t *testing.T) {
	w, _ := boundWorld(t)
	// Times of creation are whole seconds: a second object of the same one might be served instead.
	next := w.user("taro").CreationTimestamp.Add(time.Second)
	w.eventually(func() error {
		if time.Now().Before(next) {
			return errors.New("it is the same second still")
		}
		return nil
	})
	w.create(testenv.User(w.namespace, "taro-2", "asp1", testenv.WithPasswordSecret("taro-password"), func(u *v1alpha1.RelayUser) { u.Spec.UserName = "taro" }))
	w.userBecomes("taro-2", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUserNameConflict, "")
	w.userBecomes("taro-2", v1alpha1.ConditionBindingsRecorded, metav1.ConditionFalse, v1alpha1.ReasonNotServed, "")
	// A reset of one who holds nothing does not wait, and leaves nothing behind that would look like a status.
	w.create(w.aReset("other", "taro-2", onPC))
	w.resetBecomes("other", metav1.ConditionTrue, v1alpha1.ReasonNothingToClear, "")
	if slots := w.user("taro-2").Status.Slots; len(slots) > 0 {
		t.Fatalf("%+v of a user who is not served", slots)
	}
	w.delete(w.user("taro")) // pruned, as its successor in Git bears another name
	w.holds("taro-2", "old")
	w.userReady("taro-2")
}

func TestForgetting(t *testing.T) {
	annotate := func(w *world) {
		edit(w, w.user("taro"), func(u *v1alpha1.RelayUser) {
			u.Annotations = map[string]string{v1alpha1.AnnotationForgetBindings: "true"}
		})
		w.userBecomes("taro", v1alpha1.ConditionBindingsRecorded, metav1.ConditionTrue, v1alpha1.ReasonForgottenOnDelete, "")
	}
	applied := func(w *world) { w.create(w.taro()) }
	for name, tc := range map[string]struct {
		do   func(w *world, stop func())
		want string
	}{
		"with the annotation": {func(w *world, _ func()) {
			annotate(w)
			w.delete(w.user("taro"))
			w.recordBecomes("taro", func(r *bindingrecord.Record) error {
				if r != nil {
					return errors.New("the record is still there")
				}
				return nil
			})
			applied(w)
		}, ""},
		"applied again at once": {func(w *world, _ func()) {
			annotate(w)
			w.delete(w.user("taro"))
			applied(w)
		}, ""},
		"the manager is away meanwhile": {func(w *world, stop func()) {
			annotate(w)
			stop()
			w.delete(w.user("taro"))
			applied(w)
			w.startManager()
		}, ""},
		"the manager never saw the annotation": {func(w *world, stop func()) {
			stop()
			edit(w, w.user("taro"), func(u *v1alpha1.RelayUser) {
				u.Annotations = map[string]string{v1alpha1.AnnotationForgetBindings: "true"}
			})
			w.delete(w.user("taro"))
			applied(w)
			w.startManager()
		}, "old"},
		"another value": {func(w *world, _ func()) {
			edit(w, w.user("taro"), func(u *v1alpha1.RelayUser) {
				u.Annotations = map[string]string{v1alpha1.AnnotationForgetBindings: "yes"}
			})
			w.delete(w.user("taro"))
			applied(w)
		}, "old"},
		"taken back": {func(w *world, _ func()) {
			annotate(w)
			edit(w, w.user("taro"), func(u *v1alpha1.RelayUser) { u.Annotations = nil })
			w.userBecomes("taro", v1alpha1.ConditionBindingsRecorded, metav1.ConditionTrue, v1alpha1.ReasonRecorded, "")
			w.delete(w.user("taro"))
			applied(w)
		}, "old"},
		"status wiped of an object that stays": {func(w *world, _ func()) {
			annotate(w)
			w.wipe("taro")
		}, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			w, stop := boundWorld(t)
			tc.do(w, stop)
			w.holds("taro", tc.want)
			w.userReady("taro")
		})
	}
}

func TestRecordThatCannotBeRead(t *testing.T) {
	w, _ := boundWorld(t)
	page := bindingrecord.SecretName("asp1", "taro")
	const hostile = `{"userName":"taro","password":"correct-horse"}`
	spoil := func() {
		edit(w, w.secret(page), func(s *corev1.Secret) { s.Data[bindingrecord.Key("taro")] = []byte(hostile) })
	}
	spoil()
	w.recordBecomes("taro", func(r *bindingrecord.Record) error { return recordHolds(r, "old") }) // from status

	w.delete(w.user("taro"))
	spoil()
	w.create(w.taro())
	w.userBecomes("taro", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBindingsNotRestored, "the key "+bindingrecord.Key("taro")+" of Secret "+page)
	w.hasEvent("RelayUser", "taro", "no device can be registered", page)
	user := w.user("taro")
	if len(user.Status.Slots) > 0 || strings.Contains(fmt.Sprint(user.Status.Conditions), "correct-horse") {
		t.Errorf("status %+v", user.Status)
	}
	// A reset waits, and says for what.
	w.create(w.aReset("new-pc", "taro", onPC))
	w.resetBecomes("new-pc", metav1.ConditionFalse, v1alpha1.ReasonWaitingForBindings, "RelayUser taro")

	edit(w, w.secret(page), func(s *corev1.Secret) { delete(s.Data, bindingrecord.Key("taro")) })
	w.userReady("taro")
	w.resetBecomes("new-pc", metav1.ConditionTrue, v1alpha1.ReasonNothingToClear, "")
}

// TestRecordOfNobody: a Secret of that name may be anybody's, or lack its labels after a restore.
func TestRecordOfNobody(t *testing.T) {
	w, _ := boundWorld(t)
	page := bindingrecord.SecretName("asp1", "taro")
	edit(w, w.secret(page), func(s *corev1.Secret) { s.Labels = nil })
	w.wipe("taro")
	w.userBecomes("taro", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBindingsNotRestored, "does not have the labels")
	edit(w, w.secret(page), func(s *corev1.Secret) {
		s.Labels = map[string]string{v1alpha1.LabelRelayServer: "asp1", v1alpha1.LabelSecretType: v1alpha1.SecretTypeBindings}
	})
	w.holds("taro", "old")
}

func TestRecordThatCannotBeWritten(t *testing.T) {
	w, _ := boundWorld(t)
	page := bindingrecord.SecretName("asp1", "taro")
	immutable := true
	edit(w, w.secret(page), func(s *corev1.Secret) { s.Immutable = &immutable })
	w.create(w.aReset("new-pc", "taro", onPC)) // a stolen device is not left in for that
	w.resetBecomes("new-pc", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
	w.userBecomes("taro", v1alpha1.ConditionBindingsRecorded, metav1.ConditionFalse, v1alpha1.ReasonRecordBehind, page)
	w.userReady("taro")
	w.delete(w.secret(page))
	w.userBecomes("taro", v1alpha1.ConditionBindingsRecorded, metav1.ConditionTrue, v1alpha1.ReasonRecorded, "")
	w.must(recordHolds(w.record("taro"), ""))
}

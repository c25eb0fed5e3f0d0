package controllers

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
)

var noon = time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)

func at(minutes int) *metav1.Time {
	t := metav1.NewTime(noon.Add(time.Duration(minutes) * time.Minute))
	return &t
}

func userNamed(name string, options ...func(*v1alpha1.RelayUser)) *v1alpha1.RelayUser {
	user := &v1alpha1.RelayUser{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec:       v1alpha1.RelayUserSpec{ServerRef: v1alpha1.LocalReference{Name: "asp1"}},
	}
	for _, option := range options {
		option(user)
	}
	return user
}

func serverThatIs(ready metav1.ConditionStatus, reason string) *v1alpha1.RelayServer {
	server := &v1alpha1.RelayServer{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "asp1"}}
	if ready != "" {
		server.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason}}
	}
	return server
}

func TestDecideUser(t *testing.T) {
	taro := userNamed("taro")
	readyServer := serverThatIs(metav1.ConditionTrue, v1alpha1.ReasonServerReady)
	usable := passwordFacts{source: "uid/1", plain: []byte("correct horse")}
	unlabelled := passwordFacts{problem: &obstacle{v1alpha1.ReasonPasswordSecretNotLabelled, "label it"}}

	for name, tc := range map[string]struct {
		facts       userFacts
		wantServe   bool
		wantReady   metav1.ConditionStatus
		wantReason  string
		wantMessage string
		wantRetry   bool
	}{
		"all is well": {
			facts:     userFacts{user: taro, server: readyServer, winner: taro, password: usable},
			wantServe: true, wantReady: metav1.ConditionTrue, wantReason: v1alpha1.ReasonUserReady,
		},
		"there is no server": {
			facts:     userFacts{user: taro, winner: taro, password: usable},
			wantReady: metav1.ConditionFalse, wantReason: v1alpha1.ReasonServerNotFound, wantMessage: "asp1",
		},
		"the server is new": {
			facts:     userFacts{user: taro, server: serverThatIs("", ""), winner: taro, password: usable},
			wantServe: true, wantReady: metav1.ConditionFalse, wantReason: v1alpha1.ReasonServerNotReady,
		},
		"the server has lost its keys": {
			facts: userFacts{
				user: taro, server: serverThatIs(metav1.ConditionFalse, v1alpha1.ReasonKeySecretMissing),
				winner: taro, password: usable,
			},
			wantServe: true, wantReady: metav1.ConditionFalse, wantReason: v1alpha1.ReasonServerNotReady,
			wantMessage: v1alpha1.ReasonKeySecretMissing,
		},
		"the login name is none": {
			facts:     userFacts{user: taro, server: readyServer, password: usable},
			wantReady: metav1.ConditionFalse, wantReason: v1alpha1.ReasonUserNameInvalid,
		},
		"an older user has the login name": {
			facts:     userFacts{user: taro, server: readyServer, winner: userNamed("taro-senior"), password: usable},
			wantReady: metav1.ConditionFalse, wantReason: v1alpha1.ReasonUserNameConflict, wantMessage: "taro-senior",
		},
		"the password cannot be used": {
			facts:     userFacts{user: taro, server: readyServer, winner: taro, password: unlabelled},
			wantReady: metav1.ConditionFalse, wantReason: v1alpha1.ReasonPasswordSecretNotLabelled, wantMessage: "label it",
			wantRetry: true,
		},
		"a conflict outranks the password": {
			facts:     userFacts{user: taro, server: readyServer, winner: userNamed("taro-senior"), password: unlabelled},
			wantReady: metav1.ConditionFalse, wantReason: v1alpha1.ReasonUserNameConflict,
			wantRetry: true,
		},
		"the password outranks the server's state": {
			facts: userFacts{
				user: taro, server: serverThatIs(metav1.ConditionFalse, v1alpha1.ReasonNameTaken), winner: taro,
				password: unlabelled,
			},
			wantReady: metav1.ConditionFalse, wantReason: v1alpha1.ReasonPasswordSecretNotLabelled,
			wantRetry: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := decideUser(tc.facts)
			ready := plan.conditions[0]
			if plan.serve != tc.wantServe || ready.Status != tc.wantReady || ready.Reason != tc.wantReason {
				t.Errorf("serve %v, ready %s, %s; want %v, %s, %s",
					plan.serve, ready.Status, ready.Reason, tc.wantServe, tc.wantReady, tc.wantReason)
			}
			if !strings.Contains(ready.Message, tc.wantMessage) || ready.Message == "" {
				t.Errorf("message is %q, want %q in it", ready.Message, tc.wantMessage)
			}
			if (plan.retry > 0) != tc.wantRetry {
				t.Errorf("retry after %s, want any: %v", plan.retry, tc.wantRetry)
			}
		})
	}
}

func TestServedBefore(t *testing.T) {
	old := userNamed("old", func(u *v1alpha1.RelayUser) { u.CreationTimestamp = *at(0) })
	young := userNamed("young", func(u *v1alpha1.RelayUser) { u.CreationTimestamp = *at(1) })
	twin := userNamed("twin", func(u *v1alpha1.RelayUser) { u.CreationTimestamp = *at(0); u.UID = "uid-a" })
	for name, tc := range map[string]struct {
		a, b *v1alpha1.RelayUser
		want bool
	}{
		"the older":                      {old, young, true},
		"the younger":                    {young, old, false},
		"equally old, by the lower UID":  {twin, old, true},
		"equally old, by the higher UID": {old, twin, false},
		"oneself":                        {old, old, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := servedBefore(tc.a, tc.b); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

// boundAt registers a device in a slot.
func boundAt(slot v1alpha1.Slot, minutes int) func(*v1alpha1.RelayUser) {
	return func(u *v1alpha1.RelayUser) {
		binding.Bind(&u.Status, slot, v1alpha1.Binding{ID: "b-" + string(slot), RegisteredTime: *at(minutes)})
	}
}

func failedAt(reason v1alpha1.Reason, slot v1alpha1.Slot, minutes int) func(*v1alpha1.RelayUser) {
	return func(u *v1alpha1.RelayUser) {
		u.Status.LastFailure = v1alpha1.LastFailure{Reason: reason, Time: at(minutes)}
		u.Status.RecentFailures = append([]v1alpha1.LoginFailure{{Reason: reason, Slot: slot, LastTime: *at(minutes)}},
			u.Status.RecentFailures...)
	}
}

func loggedInAt(minutes int) func(*v1alpha1.RelayUser) {
	return func(u *v1alpha1.RelayUser) { u.Status.LastLoginTime = at(minutes) }
}

func resetAt(slot v1alpha1.Slot, minutes int) func(*v1alpha1.RelayUser) {
	return func(u *v1alpha1.RelayUser) { binding.Find(&u.Status, slot).LastResetTime = at(minutes) }
}

func TestSlotsToReset(t *testing.T) {
	pc, mobile := v1alpha1.SlotPC, v1alpha1.SlotMobile
	mismatch, unsupported := v1alpha1.ReasonDeviceMismatch, v1alpha1.ReasonDeviceAuthUnsupported
	type options = []func(*v1alpha1.RelayUser)
	for name, tc := range map[string]struct {
		user options
		want []v1alpha1.Slot
	}{
		"nothing has happened":                    {options{}, nil},
		"another phone":                           {options{boundAt(mobile, 0), failedAt(mismatch, mobile, 5)}, []v1alpha1.Slot{mobile}},
		"another phone, and a PC that is well":    {options{boundAt(pc, 0), boundAt(mobile, 0), failedAt(mismatch, mobile, 5)}, []v1alpha1.Slot{mobile}},
		"the newest failure of several counts":    {options{boundAt(pc, 0), boundAt(mobile, 0), failedAt(mismatch, pc, 4), failedAt(mismatch, mobile, 5)}, []v1alpha1.Slot{mobile}},
		"a wrong password":                        {options{boundAt(mobile, 0), failedAt(v1alpha1.ReasonPasswordMismatch, mobile, 5)}, nil},
		"a wrong password after the other phone":  {options{boundAt(mobile, 0), failedAt(mismatch, mobile, 4), failedAt(v1alpha1.ReasonPasswordMismatch, mobile, 5)}, nil},
		"a login since":                           {options{boundAt(mobile, 0), failedAt(mismatch, mobile, 5), loggedInAt(6)}, nil},
		"a login before":                          {options{boundAt(mobile, 0), failedAt(mismatch, mobile, 5), loggedInAt(4)}, []v1alpha1.Slot{mobile}},
		"a login in the same second":              {options{boundAt(mobile, 0), failedAt(mismatch, mobile, 5), loggedInAt(5)}, []v1alpha1.Slot{mobile}},
		"the slot is free again":                  {options{failedAt(mismatch, mobile, 5)}, nil},
		"the slot was reset and registered since": {options{boundAt(mobile, 7), resetAt(mobile, 6), failedAt(mismatch, mobile, 5)}, nil},
		"the slot was reset before":               {options{boundAt(mobile, 2), resetAt(mobile, 1), failedAt(mismatch, mobile, 5)}, []v1alpha1.Slot{mobile}},
		"a viewer without device authentication":  {options{boundAt(pc, 0), failedAt(unsupported, "", 5)}, []v1alpha1.Slot{pc}},
		"such a viewer, and two devices":          {options{boundAt(pc, 0), boundAt(mobile, 0), failedAt(unsupported, "", 5)}, []v1alpha1.Slot{pc, mobile}},
		"such a viewer, and nothing is bound":     {options{failedAt(unsupported, "", 5)}, nil},
		"a failure without a time":                {options{boundAt(pc, 0), func(u *v1alpha1.RelayUser) { u.Status.LastFailure.Reason = unsupported }}, nil},
		"a mismatch that the list has lost":       {options{boundAt(pc, 0), failedAt(mismatch, pc, 5), func(u *v1alpha1.RelayUser) { u.Status.RecentFailures = nil }}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, slotsToReset(userNamed("taro", tc.user...))); diff != "" {
				t.Errorf("slots (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResetRecommended(t *testing.T) {
	mobile := v1alpha1.SlotMobile
	refused := userNamed("taro", boundAt(mobile, 0), failedAt(v1alpha1.ReasonDeviceMismatch, mobile, 5))
	well := userNamed("taro", boundAt(mobile, 0))
	const first = "; mend that first: till then, the device that was refused may be the registered one"
	for name, tc := range map[string]struct {
		user   *v1alpha1.RelayUser
		server *v1alpha1.RelayServer
		want   condition
	}{
		"another phone": {
			refused, serverThatIs(metav1.ConditionTrue, v1alpha1.ReasonServerReady),
			is(v1alpha1.ConditionResetRecommended, v1alpha1.ReasonResetHelps, resetCommand(refused, []v1alpha1.Slot{mobile})),
		},
		"another phone, it seems, to a server that has lost its keys": {
			refused, serverThatIs(metav1.ConditionFalse, v1alpha1.ReasonKeySecretMissing),
			isNot(v1alpha1.ConditionResetRecommended, v1alpha1.ReasonServerNotReady, "RelayServer asp1 is not ready: KeySecretMissing"+first),
		},
		"another phone, and the server is new": {
			refused, serverThatIs("", ""),
			isNot(v1alpha1.ConditionResetRecommended, v1alpha1.ReasonServerNotReady, "RelayServer asp1 has not been set up yet"+first),
		},
		"another phone, and the server is gone": {
			refused, nil,
			isNot(v1alpha1.ConditionResetRecommended, v1alpha1.ReasonServerNotFound, "there is no RelayServer asp1 in namespace default"+first),
		},
		"nothing has happened, and the server is gone": {
			well, nil,
			isNot(v1alpha1.ConditionResetRecommended, v1alpha1.ReasonNoResetNeeded, "the last failure, if any, is not one that a reset mends, or it is mended"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := decideUser(userFacts{user: tc.user, server: tc.server, winner: tc.user}).conditions[1]
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResetCommand(t *testing.T) {
	for name, tc := range map[string]struct {
		user  string
		slots []v1alpha1.Slot
		want  string
	}{
		"one slot": {"taro", []v1alpha1.Slot{v1alpha1.SlotMobile}, `echo '{"apiVersion":"tegata.dev/v1alpha1","kind":"DeviceReset",` +
			`"metadata":{"generateName":"taro-mobile-","namespace":"default"},` +
			`"spec":{"userRef":{"name":"taro"},"slots":["mobile"]}}' | kubectl create -f -`},
		"two slots": {"taro", []v1alpha1.Slot{v1alpha1.SlotPC, v1alpha1.SlotMobile}, `echo '{"apiVersion":"tegata.dev/v1alpha1",` +
			`"kind":"DeviceReset","metadata":{"generateName":"taro-","namespace":"default"},` +
			`"spec":{"userRef":{"name":"taro"},"slots":["pc","mobile"]}}' | kubectl create -f -`},
		// The API server lets no such name in. If it did, nobody is to paste this into a shell.
		"a name that would end the quotes": {"x'; rm -rf /; '", []v1alpha1.Slot{v1alpha1.SlotPC}, "create a DeviceReset for pc of this user"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, resetCommand(userNamed(tc.user), tc.slots)); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResetCommandDecodesStrictly(t *testing.T) {
	command := resetCommand(userNamed("taro"), []v1alpha1.Slot{v1alpha1.SlotPC})
	body, _, _ := strings.Cut(strings.TrimPrefix(command, "echo '"), "'")
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v1alpha1.DeviceReset{}); err != nil {
		t.Error(err)
	}
}

func TestBoundNotPermitted(t *testing.T) {
	pc, mobile := v1alpha1.SlotPC, v1alpha1.SlotMobile
	permit := func(mobile, combined bool) func(*v1alpha1.RelayUser) {
		return func(u *v1alpha1.RelayUser) {
			u.Spec.Programs.Viewer.Mobile, u.Spec.Programs.Viewer.Combined = mobile, combined
		}
	}
	type options = []func(*v1alpha1.RelayUser)
	for name, tc := range map[string]struct {
		user options
		want []v1alpha1.Slot
	}{
		"nothing is bound":                  {options{}, nil},
		"a PC":                              {options{boundAt(pc, 0)}, nil},
		"a phone that is not permitted":     {options{boundAt(mobile, 0)}, []v1alpha1.Slot{mobile}},
		"a phone that is permitted":         {options{permit(true, false), boundAt(mobile, 0)}, nil},
		"both, combined":                    {options{permit(true, true), boundAt(pc, 0), boundAt(mobile, 1)}, nil},
		"both, not combined, PC first":      {options{permit(true, false), boundAt(pc, 0), boundAt(mobile, 1)}, []v1alpha1.Slot{mobile}},
		"both, not combined, phone first":   {options{permit(true, false), boundAt(pc, 1), boundAt(mobile, 0)}, []v1alpha1.Slot{pc}},
		"both, not combined, at once":       {options{permit(true, false), boundAt(pc, 0), boundAt(mobile, 0)}, []v1alpha1.Slot{mobile}},
		"both, the phone not permitted now": {options{boundAt(pc, 1), boundAt(mobile, 0)}, []v1alpha1.Slot{mobile}},
	} {
		t.Run(name, func(t *testing.T) {
			user := userNamed("taro", tc.user...)
			if diff := cmp.Diff(tc.want, boundNotPermitted(user)); diff != "" {
				t.Errorf("slots (-want +got):\n%s", diff)
			}
			wantStatus := metav1.ConditionFalse
			if tc.want != nil {
				wantStatus = metav1.ConditionTrue
			}
			if got := slotNotPermitted(user); got.Status != wantStatus {
				t.Errorf("condition is %s, want %s", got.Status, wantStatus)
			}
		})
	}
}

func TestClip(t *testing.T) {
	for name, tc := range map[string]struct {
		text  string
		limit int
		want  string
	}{
		"short enough":            {"abc", 3, "abc"},
		"too long":                {"abcdef", 5, "ab…"},
		"not within a character":  {"手形手形", 10, "手形…"},
		"not within a character2": {"手形手形", 11, "手形…"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := clip(tc.text, tc.limit); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

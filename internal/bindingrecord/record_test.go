package bindingrecord

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
)

const pc, mobile = v1alpha1.SlotPC, v1alpha1.SlotMobile

var noon = time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)

func at(minutes int) metav1.Time {
	return metav1.NewTime(noon.Add(time.Duration(minutes) * time.Minute))
}

// userOf is version "10" of an object with a status.
func userOf(uid types.UID, changes ...func(*v1alpha1.RelayUserStatus)) *v1alpha1.RelayUser {
	user := &v1alpha1.RelayUser{ObjectMeta: metav1.ObjectMeta{Name: "taro", UID: uid, ResourceVersion: "10"}}
	for _, change := range changes {
		change(&user.Status)
	}
	return user
}

func bound(slot v1alpha1.Slot, id string, minutes int) func(*v1alpha1.RelayUserStatus) {
	return func(s *v1alpha1.RelayUserStatus) {
		binding.Bind(s, slot, v1alpha1.Binding{
			ID: id, Digest: v1alpha1.DeviceDigest("k1:" + id), Kind: v1alpha1.FingerprintOpaque, RegisteredTime: at(minutes),
		})
	}
}

func reset(slot v1alpha1.Slot, id, request string, minutes int) func(*v1alpha1.RelayUserStatus) {
	return func(s *v1alpha1.RelayUserStatus) {
		binding.Release{
			Slot: slot, BindingID: id, RequestID: request, UID: "uid-of-" + request, Now: at(minutes).Time,
			PreviousDevice: v1alpha1.PreviousDeviceDeny,
		}.Apply(s)
	}
}

func free(slot v1alpha1.Slot) func(*v1alpha1.RelayUserStatus) {
	return func(s *v1alpha1.RelayUserStatus) { binding.Ensure(s, slot) }
}

func failed(s *v1alpha1.RelayUserStatus) { s.FailureCount++ }

func seen(s *v1alpha1.RelayUserStatus) { binding.Seen(s, pc, "a", at(99).Time) }

// recorded is the record that a user leaves, as it is read again.
func recorded(t *testing.T, user *v1alpha1.RelayUser) *Record {
	t.Helper()
	value, err := Encode(New(user, "taro"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Decode(value, "taro")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func version(user *v1alpha1.RelayUser, resourceVersion string) *v1alpha1.RelayUser {
	user.ResourceVersion = resourceVersion
	return user
}

func forgetful(user *v1alpha1.RelayUser) *v1alpha1.RelayUser {
	user.Annotations = map[string]string{v1alpha1.AnnotationForgetBindings: "true"}
	return user
}

func TestJudge(t *testing.T) {
	for name, tc := range map[string]struct {
		user *v1alpha1.RelayUser
		// record is of whom the record was made; nil for none.
		record *v1alpha1.RelayUser
		want   Action
	}{
		"a new user":                           {userOf("u1"), nil, Nothing},
		"a new user whose slots are free":      {userOf("u1", free(pc), free(mobile)), nil, Nothing},
		"the first device":                     {userOf("u1", bound(pc, "a", 0)), nil, Write},
		"nothing has changed":                  {userOf("u1", bound(pc, "a", 0)), userOf("u1", bound(pc, "a", 0)), Nothing},
		"a login of the device":                {version(userOf("u1", bound(pc, "a", 0), seen), "11"), userOf("u1", bound(pc, "a", 0)), Nothing},
		"a second device":                      {version(userOf("u1", bound(pc, "a", 0), bound(mobile, "b", 1)), "11"), userOf("u1", bound(pc, "a", 0)), Write},
		"a reset":                              {version(userOf("u1", bound(pc, "a", 0), reset(pc, "a", "r", 1)), "11"), userOf("u1", bound(pc, "a", 0)), Write},
		"a reset that the cache does not show": {userOf("u1", bound(pc, "a", 0)), version(userOf("u1", bound(pc, "a", 0), reset(pc, "a", "r", 1)), "11"), Nothing},
		"a reset that is recorded ahead":       {userOf("u1", bound(pc, "a", 0)), userOf("u1", bound(pc, "a", 0), reset(pc, "a", "r", 1)), Nothing},
		"a reset that did not come to be":      {version(userOf("u1", bound(pc, "a", 0), failed), "11"), userOf("u1", bound(pc, "a", 0), reset(pc, "a", "r", 1)), Write},

		"status wiped":                         {version(userOf("u1"), "11"), userOf("u1", bound(pc, "a", 0)), Restore},
		"status wiped but for failures":        {version(userOf("u1", failed), "11"), userOf("u1", bound(pc, "a", 0)), Restore},
		"status wiped, and slots free again":   {version(userOf("u1", free(pc)), "11"), userOf("u1", bound(pc, "a", 0)), Restore},
		"status wiped of a user who was reset": {version(userOf("u1"), "11"), userOf("u1", bound(pc, "a", 0), reset(pc, "a", "r", 1)), Restore},
		"applied again":                        {userOf("u2"), userOf("u1", bound(pc, "a", 0)), Restore},
		"applied again under a newer cluster":  {version(userOf("u2"), "3"), userOf("u1", bound(pc, "a", 0)), Restore},
		"applied again, and restored":          {userOf("u2", bound(pc, "a", 0)), userOf("u1", bound(pc, "a", 0)), Write},
		"restored with a status that is newer": {userOf("u2", bound(pc, "a", 0), reset(pc, "a", "r", 1), bound(pc, "b", 2)), userOf("u1", bound(pc, "a", 0)), Write},

		"a device came before its record did":       {userOf("u2", bound(pc, "thief", 5)), userOf("u1", bound(pc, "a", 0)), Restore},
		"one came into the other slot":              {userOf("u2", bound(mobile, "thief", 5)), userOf("u1", bound(pc, "a", 0)), Restore},
		"a removed one came before the record did":  {userOf("u2", bound(pc, "a", 5)), userOf("u1", bound(pc, "a", 0), reset(pc, "a", "r", 1)), Restore},
		"a reset of nothing came before the record": {userOf("u2", reset(pc, "", "r2", -5)), userOf("u1", bound(pc, "a", 0)), Restore},
		"a handled reset was applied again before":  {userOf("u2", reset(pc, "", "again", 9)), userOf("u1", bound(pc, "a", 0), reset(pc, "a", "again", 1), bound(pc, "b", 2)), Restore},

		"to be forgotten, from now on":             {version(forgetful(userOf("u1", bound(pc, "a", 0))), "11"), userOf("u1", bound(pc, "a", 0)), Write},
		"to be forgotten no more":                  {version(userOf("u1", bound(pc, "a", 0)), "11"), forgetful(userOf("u1", bound(pc, "a", 0))), Write},
		"to be forgotten, but only status is gone": {version(forgetful(userOf("u1")), "11"), forgetful(userOf("u1", bound(pc, "a", 0))), Restore},
		"forgotten, and applied again":             {userOf("u2"), forgetful(userOf("u1", bound(pc, "a", 0))), Forget},
		"annotated only when applied again":        {forgetful(userOf("u2")), userOf("u1", bound(pc, "a", 0)), Restore},
	} {
		t.Run(name, func(t *testing.T) {
			var record *Record
			if tc.record != nil {
				record = recorded(t, tc.record)
			}
			if got := Judge(tc.user, "taro", record); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}

func TestAhead(t *testing.T) {
	before, after := userOf("u1", bound(pc, "a", 0)), userOf("u1", bound(pc, "a", 0), reset(pc, "a", "r", 1))
	if !Ahead(after, "taro", recorded(t, before)) || !Ahead(after, "taro", nil) || !Ahead(after, "taro", recorded(t, userOf("u2", bound(pc, "a", 0)))) {
		t.Error("a reset need not be recorded")
	}
	if Ahead(after, "taro", recorded(t, after)) {
		t.Error("what is recorded is to be recorded again")
	}
}

func TestRestoreTo(t *testing.T) {
	for name, tc := range map[string]struct {
		status, record, want *v1alpha1.RelayUser
	}{
		"all":                     {userOf("u2"), userOf("u1", bound(pc, "a", 0), bound(mobile, "b", 1)), userOf("", bound(pc, "a", 0), bound(mobile, "b", 1))},
		"over free slots":         {userOf("u2", free(pc), free(mobile)), userOf("u1", bound(pc, "a", 0)), userOf("", bound(pc, "a", 0), free(mobile))},
		"a reset":                 {userOf("u2"), userOf("u1", bound(pc, "a", 0), reset(pc, "a", "r", 1)), userOf("", bound(pc, "a", 0), reset(pc, "a", "r", 1))},
		"over whoever came first": {userOf("u2", bound(pc, "thief", 5)), userOf("u1", bound(pc, "a", 0)), userOf("", bound(pc, "a", 0))},
		"beside what is newer":    {userOf("u2", bound(pc, "a", 0), reset(pc, "a", "r", 1), free(mobile)), userOf("u1", bound(pc, "a", 0), bound(mobile, "b", 0)), userOf("", bound(pc, "a", 0), reset(pc, "a", "r", 1), bound(mobile, "b", 0))},
	} {
		t.Run(name, func(t *testing.T) {
			RestoreTo(&tc.status.Status, recorded(t, tc.record).Slots)
			if diff := cmp.Diff(tc.want.Status, tc.status.Status, cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
	late := userOf("u2", reset(pc, "", "late", -5))
	RestoreTo(&late.Status, recorded(t, userOf("u1", bound(pc, "a", 0))).Slots)
	if !binding.Handled(&late.Status, pc, "late") || late.Status.Slots[0].Binding == nil {
		t.Errorf("%+v: want the device back, and the reset handled", late.Status.Slots)
	}
}

// TestSizeIsBounded: 25 users who were reset as often as may be fit into a Secret, and none of what keeps devices out
// is dropped for it.
func TestSizeIsBounded(t *testing.T) {
	user := userOf("u1", bound(pc, "p", 0), bound(mobile, "m", 0))
	for i := range 2 * v1alpha1.MaxHandledResets {
		for _, slot := range []v1alpha1.Slot{pc, mobile} {
			id := fmt.Sprintf("%s-%d-%s", slot, i, strings.Repeat("d", 40))
			bound(slot, id, i)(&user.Status)
			reset(slot, id, fmt.Sprintf("%d-", i)+strings.Repeat("<", 249), i)(&user.Status)
		}
	}
	value, err := Encode(New(user, strings.Repeat("n", 512)))
	if err != nil || len(value) > maxBytes {
		t.Fatalf("%d bytes, %v", len(value), err)
	}
	r, err := Decode(value, strings.Repeat("n", 512))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Slots {
		if len(s.Revoked) != v1alpha1.MaxRevokedDevices || len(s.HandledResets) == 0 || !strings.HasPrefix(s.HandledResets[0].RequestID, "127-") {
			t.Errorf("%s: %d revoked, %d resets", s.Slot, len(s.Revoked), len(s.HandledResets))
		}
	}
	r.UID = user.UID
	if got := Judge(user, strings.Repeat("n", 512), r); got != Nothing {
		t.Errorf("what was shortened is to be written again: %d", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	const secret = "correct-horse"
	good, err := Encode(New(userOf("u1", bound(pc, "a", 0)), "taro"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(old, replacement string) string {
		changed := strings.Replace(string(good), old, replacement, 1)
		if changed == string(good) {
			t.Fatalf("%s has no %s", good, old)
		}
		return changed
	}
	for name, value := range map[string]string{
		"nothing":              "",
		"no JSON":              secret,
		"a list":               "[]",
		"another user's":       with(`"taro"`, `"jiro"`),
		"an unknown field":     with(`"uid"`, `"password":"`+secret+`","uid"`),
		"one in a slot":        with(`"state"`, `"x":1,"state"`),
		"two of them":          string(good) + string(good),
		"no slots":             `{"userName":"taro","uid":"u1","resourceVersion":"1","slots":[]}`,
		"a third slot":         with(`"pc"`, `"tablet"`),
		"a bound one as free":  with(`"Registered"`, `"Unregistered"`),
		"no state":             with(`"Registered"`, `""`),
		"bound and reserved":   with(`"state"`, `"reservedFor":"k1:x","state"`),
		"a binding with no id": with(`"id":"a"`, `"id":""`),
		"no digest":            with(`"digest":"k1:a"`, `"digest":""`),
		"a slot twice":         with(`"slots":[`, `"slots":[{"slot":"pc","state":"Unregistered"},`),
		"too long":             string(good) + strings.Repeat(" ", maxBytes),
		"too many resets":      with(`"state"`, `"handledResets":[`+strings.Repeat(`{},`, 64)+`{}],"state"`),
		"deep":                 strings.Repeat("[", 10000),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Decode([]byte(value), "taro")
			if !errors.Is(err, ErrRecord) || r != nil {
				t.Fatalf("%+v, %v; want it refused", r, err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error quotes it: %v", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	value, err := Encode(New(userOf("u1", bound(pc, "a", 0), bound(mobile, "b", 0), reset(mobile, "b", "r", 1)), "taro"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := Decode(value, "taro")
		if err != nil {
			return
		}
		var status v1alpha1.RelayUserStatus
		RestoreTo(&status, r.Slots)
		if len(status.Slots) == 0 || len(status.Slots) > 2 {
			t.Errorf("%d slots", len(status.Slots))
		}
	})
}

func TestNamesAreFitForSecrets(t *testing.T) {
	key := regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)
	for _, name := range []string{"taro", "山田花子", strings.Repeat("n", 512), "../../etc"} {
		if !key.MatchString(Key(name)) || !regexp.MustCompile(`^asp1-bindings-[0-9a-f]{3}$`).MatchString(SecretName("asp1", name)) {
			t.Errorf("%s: %s in %s", name, Key(name), SecretName("asp1", name))
		}
	}
}

func TestForgottenWith(t *testing.T) {
	for name, tc := range map[string]struct {
		user *v1alpha1.RelayUser
		want bool
	}{
		"kept": {userOf("u1", bound(pc, "a", 0)), false}, "forgotten": {forgetful(userOf("u1", bound(pc, "a", 0))), true},
	} {
		value, err := Encode(New(tc.user, "taro"))
		if err != nil {
			t.Fatal(err)
		}
		if uid, forgotten := ForgottenWith(value); forgotten != tc.want || forgotten && uid != "u1" {
			t.Errorf("%s: %q, %t", name, uid, forgotten)
		}
	}
	if _, forgotten := ForgottenWith([]byte(`"forget":true`)); forgotten {
		t.Error("what cannot be read is forgotten")
	}
}

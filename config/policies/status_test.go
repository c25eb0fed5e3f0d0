package policies_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

func statusDenied(message string) string { return denied("tegata-sidecar-status", message) }

var (
	managersOwn     = statusDenied("a sidecar may not write conditions or observedGeneration: they are the manager's")
	slotGone        = statusDenied("a sidecar may not remove a slot")
	resetsOwn       = statusDenied("a sidecar may not change what resets have done: revoked, handledResets and lastResetTime are the manager's")
	bindingKept     = statusDenied("a sidecar may bind a device to a free slot, and nothing else: it may not remove or change a binding or a reservation")
	reservedOther   = statusDenied("the slot is reserved for another device")
	removedByReset  = statusDenied("a reset removed this device: it may not be bound again")
	backDated       = statusDenied("a device may not be bound as of a time before another was")
	countMayNotFall = statusDenied("a sidecar may not lower failureCount")
)

// digest is that of a device under a key.
func digest(key, device string) v1alpha1.DeviceDigest {
	return v1alpha1.DeviceDigest(key + ":" + device + strings.Repeat("A", 43-len(device)))
}

var at = metav1.NewTime(time.Date(2026, 7, 1, 9, 30, 0, 0, time.UTC))

func bindingOf(device string) v1alpha1.Binding {
	return v1alpha1.Binding{ID: "B-" + device, Digest: digest("k1", device), Kind: v1alpha1.FingerprintOpaque, RegisteredTime: at, RegisteredFrom: "192.0.2.1"}
}

// settled is the status of a user with a bound PC, of which a reset once removed another, and a slot that is
// reserved for one phone.
func settled() v1alpha1.RelayUserStatus {
	pc := bindingOf("pc")
	handled := v1alpha1.HandledReset{RequestID: "INC-1", UID: "u-1", Time: at, Outcome: v1alpha1.SlotOutcomeCleared, BindingID: "B-old"}
	return v1alpha1.RelayUserStatus{
		ObservedGeneration: 1,
		Conditions:         []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonUserReady, LastTransitionTime: at}},
		FailureCount:       3,
		Slots: []v1alpha1.SlotStatus{
			{
				Slot: v1alpha1.SlotPC, State: v1alpha1.SlotRegistered, Binding: &pc, LastResetTime: &at,
				Revoked:       []v1alpha1.RevokedDevice{{Digest: digest("k1", "old"), Time: at, RequestID: "INC-1"}},
				HandledResets: []v1alpha1.HandledReset{handled},
			},
			{
				Slot: v1alpha1.SlotMobile, State: v1alpha1.SlotReserved, ReservedFor: digest("k1", "phone"), LastResetTime: &at,
				HandledResets: []v1alpha1.HandledReset{handled},
			},
		},
	}
}

// free is settled with nothing in the slot mobile.
func free() v1alpha1.RelayUserStatus {
	status := settled()
	status.Slots[1].State, status.Slots[1].ReservedFor = v1alpha1.SlotUnregistered, ""
	return status
}

// asOf is a binding of a device that says it was registered so much later than the PC.
func asOf(device string, later time.Duration) v1alpha1.Binding {
	b := bindingOf(device)
	b.RegisteredTime = metav1.NewTime(at.Add(later))
	return b
}

func untouched() v1alpha1.RelayUserStatus { return v1alpha1.RelayUserStatus{} }

func bind(slot v1alpha1.Slot, b v1alpha1.Binding) func(*v1alpha1.RelayUserStatus) {
	return func(s *v1alpha1.RelayUserStatus) { binding.Bind(s, slot, b) }
}

func TestSidecarStatusWrites(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	sidecar := sidecarClient(t, env, namespace, server)
	const pc, mobile = v1alpha1.SlotPC, v1alpha1.SlotMobile
	type status = v1alpha1.RelayUserStatus
	otherKey := bindingOf("phone")
	otherKey.Digest = digest("k2", "phone")
	for name, tc := range map[string]struct {
		before func() status
		write  func(*status)
		want   string
	}{
		"binds the first device ever":       {untouched, bind(pc, bindingOf("pc")), ""},
		"binds a first phone":               {untouched, bind(mobile, bindingOf("phone")), ""},
		"binds a device to a free slot":     {free, bind(mobile, bindingOf("tablet")), ""},
		"binds the reserved device":         {settled, bind(mobile, bindingOf("phone")), ""},
		"binds it under another key":        {settled, bind(mobile, otherKey), ""},
		"notes that a device was seen":      {settled, func(s *status) { binding.Seen(s, pc, "B-pc", at.Time) }, ""},
		"records a failure":                 {settled, func(s *status) { s.FailureCount++; s.RecentFailures = failures(1) }, ""},
		"records the first failure":         {untouched, func(s *status) { s.FailureCount++; s.RecentFailures = failures(1) }, ""},
		"records a login":                   {settled, func(s *status) { s.LastLoginTime = &at }, ""},
		"binds beside the fullest":          {fullest, bind(mobile, bindingOf("phone")), ""},
		"records beside the fullest":        {fullest, func(s *status) { s.FailureCount++; s.RecentFailures[0].Count++ }, ""},
		"evicts a device":                   {settled, func(s *status) { s.Slots[0].Binding = nil; s.Slots[0].State = v1alpha1.SlotUnregistered }, bindingKept},
		"evicts it but for the state":       {settled, func(s *status) { s.Slots[0].Binding = nil }, bindingKept},
		"puts another in its place":         {settled, bind(pc, bindingOf("thief")), bindingKept},
		"changes the binding's id":          {settled, func(s *status) { s.Slots[0].Binding.ID = "B-2" }, bindingKept},
		"changes the binding's digest":      {settled, func(s *status) { s.Slots[0].Binding.Digest = digest("k1", "thief") }, bindingKept},
		"changes the registration's time":   {settled, func(s *status) { s.Slots[0].Binding.RegisteredTime = metav1.NewTime(at.Add(-time.Hour)) }, bindingKept},
		"changes the registration's source": {settled, func(s *status) { s.Slots[0].Binding.RegisteredFrom = "192.0.2.2" }, bindingKept},
		"forgets the registration's source": {settled, func(s *status) { s.Slots[0].Binding.RegisteredFrom = "" }, bindingKept},
		"opens a bound slot":                {settled, func(s *status) { s.Slots[0].State = v1alpha1.SlotUnregistered }, bindingKept},
		"reserves a bound slot":             {settled, func(s *status) { s.Slots[0].ReservedFor = digest("k1", "thief") }, bindingKept},
		"opens a reserved slot":             {settled, func(s *status) { s.Slots[1].State = v1alpha1.SlotUnregistered; s.Slots[1].ReservedFor = "" }, bindingKept},
		"reserves it for another":           {settled, func(s *status) { s.Slots[1].ReservedFor = digest("k1", "thief") }, bindingKept},
		"reserves a free slot": {free, func(s *status) {
			s.Slots[1].State, s.Slots[1].ReservedFor = v1alpha1.SlotReserved, digest("k1", "thief")
		}, bindingKept},
		"reserves a new slot": {untouched, func(s *status) { s.Slots = []v1alpha1.SlotStatus{{Slot: pc, State: v1alpha1.SlotReserved}} }, bindingKept},
		"binds and keeps the reservation": {settled, func(s *status) {
			binding.Bind(s, mobile, bindingOf("phone"))
			s.Slots[1].ReservedFor = digest("k1", "phone")
		}, bindingKept},
		"binds and says unregistered":      {free, func(s *status) { binding.Bind(s, mobile, bindingOf("x")); s.Slots[1].State = v1alpha1.SlotUnregistered }, bindingKept},
		"binds another to a reserved slot": {settled, bind(mobile, bindingOf("thief")), reservedOther},
		"binds a removed device again": {func() status {
			s := free()
			s.Slots[0].Binding = nil
			s.Slots[0].State = v1alpha1.SlotUnregistered
			return s
		}, bind(pc, bindingOf("old")), removedByReset},
		"binds it in the other slot":                 {free, bind(mobile, bindingOf("old")), removedByReset},
		"binds as of a time after the other device":  {free, bind(mobile, asOf("phone", time.Hour)), ""},
		"binds as of a time before the other device": {free, bind(mobile, asOf("phone", -time.Second)), backDated},
		"binds the reserved device as of before":     {settled, bind(mobile, asOf("phone", -time.Hour)), backDated},
		"binds the first device as of long ago":      {untouched, bind(pc, asOf("pc", -1000*time.Hour)), ""},
		"removes a slot":                             {settled, func(s *status) { s.Slots = s.Slots[:1] }, slotGone},
		"removes all slots":                          {settled, func(s *status) { s.Slots = nil }, slotGone},
		"wipes the status":                           {settled, func(s *status) { *s = status{} }, managersOwn},
		"forgets a removed device":                   {settled, func(s *status) { s.Slots[0].Revoked = nil }, resetsOwn},
		"removes a device itself": {settled, func(s *status) {
			s.Slots[1].Revoked = []v1alpha1.RevokedDevice{{Digest: digest("k1", "x"), Time: at, RequestID: "r"}}
		}, resetsOwn},
		"exchanges a removed device": {settled, func(s *status) { s.Slots[0].Revoked[0].Digest = digest("k1", "x") }, resetsOwn},
		"forgets a handled reset":    {settled, func(s *status) { s.Slots[1].HandledResets = nil }, resetsOwn},
		"claims a reset as handled":  {settled, func(s *status) { s.Slots[1].HandledResets[0].RequestID = "INC-2" }, resetsOwn},
		"claims one on a new slot": {untouched, func(s *status) {
			binding.Bind(s, pc, bindingOf("pc"))
			s.Slots[0].HandledResets = settled().Slots[0].HandledResets
		}, resetsOwn},
		"claims one while it binds":     {free, func(s *status) { binding.Bind(s, mobile, bindingOf("x")); s.Slots[1].HandledResets = nil }, resetsOwn},
		"changes the time of the reset": {settled, func(s *status) { s.Slots[0].LastResetTime = nil }, resetsOwn},
		"sets the user ready":           {settled, func(s *status) { s.Conditions[0].Reason = "BecauseISaySo" }, managersOwn},
		"adds a condition": {settled, func(s *status) {
			s.Conditions = append(s.Conditions, settled().Conditions[0])
			s.Conditions[1].Type = "Further"
		}, managersOwn},
		"removes the conditions":        {settled, func(s *status) { s.Conditions = nil }, managersOwn},
		"adds the first condition":      {untouched, func(s *status) { s.Conditions = settled().Conditions }, managersOwn},
		"claims to have observed":       {settled, func(s *status) { s.ObservedGeneration = 2 }, managersOwn},
		"lowers the count of failures":  {settled, func(s *status) { s.FailureCount = 2 }, countMayNotFall},
		"forgets the count of failures": {settled, func(s *status) { s.FailureCount = 0 }, countMayNotFall},
	} {
		t.Run(name, func(t *testing.T) {
			user := storedUser(t, env, namespace, server, tc.before())
			_, err := statuspatch.Apply(t.Context(), sidecar, user.DeepCopy(), func(u *v1alpha1.RelayUser) { tc.write(&u.Status) })
			checkError(t, err, tc.want)

			// The same by an update, where the whole object is sent.
			user = storedUser(t, env, namespace, server, tc.before())
			tc.write(&user.Status)
			checkError(t, sidecar.Status().Update(t.Context(), user), tc.want) //nolint:forbidigo // which a sidecar must not get further with
		})
	}
}

func TestSidecarStatusOfOtherServers(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	failed := func(u *v1alpha1.RelayUser) { u.Status.FailureCount++ }
	for name, tc := range map[string]struct {
		client client.Client
		server string
		want   string
	}{
		"its own":             {sidecarClient(t, env, namespace, server), server, ""},
		"another":             {sidecarClient(t, env, namespace, "asp2"), "asp1-sidecar", statusDenied("this sidecar does not serve asp1-sidecar: it may not write the status of its users")},
		"one that begins so":  {sidecarClient(t, env, namespace, "asp1-sidecar"), server, statusDenied("this sidecar does not serve asp1: it may not write the status of its users")},
		"of an injected pod":  {accountClient(t, env, namespace, "relay", sidecarRules(server)...), server, ""},
		"… for another":       {accountClient(t, env, namespace, "relay-2", sidecarRules("asp2")...), server, statusDenied("this sidecar does not serve asp1: it may not write the status of its users")},
		"… that serves both":  {accountClient(t, env, namespace, "relay-3", append(sidecarRules("asp2"), sidecarRules(server)...)...), server, ""},
		"the administrator's": {env.Client, server, ""},
	} {
		t.Run(name, func(t *testing.T) {
			user := storedUser(t, env, namespace, tc.server, settled())
			_, err := statuspatch.Apply(t.Context(), tc.client, user, failed)
			checkError(t, err, tc.want)
		})
	}
	user := storedUser(t, env, namespace, "asp3", settled())
	_, err := statuspatch.Apply(t.Context(), sidecarClient(t, env, namespace, "asp3"), user, func(u *v1alpha1.RelayUser) {
		u.Labels = map[string]string{"team": "sales"}
		u.Spec.Suspended = true
		failed(u)
	})
	checkError(t, err, "")
	if user.Labels != nil || user.Spec.Suspended {
		t.Errorf("a patch of status set labels %v and suspended %v", user.Labels, user.Spec.Suspended)
	}
}

// TestInjectedSidecarIsHeld although its account has a name of the relay's choice.
func TestInjectedSidecarIsHeld(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	relay := accountClient(t, env, namespace, "relay", sidecarRules(server)...)
	user := storedUser(t, env, namespace, server, settled())
	_, err := statuspatch.Apply(t.Context(), relay, user, func(u *v1alpha1.RelayUser) { u.Status.Conditions = nil })
	checkError(t, err, managersOwn)
}

// TestManagersAreNotHeld: they reset what a sidecar may not, wherever they run.
func TestManagersAreNotHeld(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	for name, role := range map[string]string{"the manager in the relay's namespace": "tegata-manager", "an administrator there": "cluster-admin"} {
		t.Run(name, func(t *testing.T) {
			c := clusterRoleClient(t, env, namespace, role)
			user := storedUser(t, env, namespace, server, settled())
			_, err := statuspatch.Apply(t.Context(), c, user, func(u *v1alpha1.RelayUser) {
				binding.Release{Slot: v1alpha1.SlotPC, BindingID: "B-pc", RequestID: "INC-2", UID: "u-2", Now: at.Time}.Apply(&u.Status)
				u.Status.Conditions = nil
			})
			checkError(t, err, "")
			own := unlabelled(generated(lease(namespace, "", server), "leader-"))
			checkError(t, c.Create(t.Context(), own), "")
		})
	}
}

// clusterRoleClient is a client of a ServiceAccount of the namespace that has a ClusterRole there.
func clusterRoleClient(t *testing.T, env *testenv.Env, namespace, role string) client.Client {
	t.Helper()
	config := env.ServiceAccountConfig(t, namespace, role)
	subject := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: role}
	if err := env.Client.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role}, Subjects: []rbacv1.Subject{subject},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	}); err != nil {
		t.Fatal(err)
	}
	awaitGrant(t, env, namespace, subject, leaseRule)
	return newClient(t, env, config)
}

// storedUser makes a user of a server with a status.
func storedUser(t *testing.T, env *testenv.Env, namespace, server string, status v1alpha1.RelayUserStatus) *v1alpha1.RelayUser {
	t.Helper()
	user := testenv.User(namespace, "", server, testenv.Combined)
	user.GenerateName = "user-"
	if err := env.Client.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	before := user.DeepCopy()
	user.Status = status
	if err := env.Client.Status().Patch(t.Context(), user, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	return user
}

func failures(n int) []v1alpha1.LoginFailure {
	return slices.Repeat([]v1alpha1.LoginFailure{{
		Reason: v1alpha1.ReasonDeviceMismatch, FirstTime: at, LastTime: at, Count: 1, Slot: v1alpha1.SlotMobile,
		Program: v1alpha1.ProgramViewer, SourceAddress: "192.0.2.1", Digest: digest("k1", "x"), Sidecar: strings.Repeat("s", 253),
	}}, n)
}

// fullest is settled with every list as long as it may be: what the policy costs is bounded, too.
func fullest() v1alpha1.RelayUserStatus {
	status := settled()
	status.RecentFailures = failures(50)
	status.Slots[0].Revoked = slices.Repeat(status.Slots[0].Revoked, v1alpha1.MaxRevokedDevices)
	status.Slots[1].Revoked = slices.Clone(status.Slots[0].Revoked)
	for i := range status.Slots {
		status.Slots[i].HandledResets = slices.Repeat(status.Slots[i].HandledResets, v1alpha1.MaxHandledResets)
		for j := range status.Slots[i].HandledResets {
			status.Slots[i].HandledResets[j].RequestID = strings.Repeat("r", 253)
		}
	}
	return status
}

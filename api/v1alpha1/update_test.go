package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	userNameFixed  = "spec.userName: Invalid value: cannot be changed once the user exists: create a new RelayUser instead"
	serverRefFixed = "spec.serverRef: Invalid value: cannot be changed: devices are bound to a user of one server; create a new RelayUser instead"
	resetFixed     = "spec: Invalid value: spec is immutable: create another DeviceReset with another name"
)

// TestUpdates applies one manifest over another.
func TestUpdates(t *testing.T) {
	const someReset = `{userRef: {name: taro}, slots: [pc]}`
	k := newKubectl(t)
	for name, tc := range map[string]struct {
		kind, before, after string
		done                string
		causes              []string
	}{
		"server-anything": {"RelayServer", `{host: a}`, `{host: b, enrollment: ReservedOnly, denial: {code: 7}}`, "configured", nil},
		"server-same":     {"RelayServer", `{host: a, maxStaleness: 60s}`, `{host: a, maxStaleness: 60s}`, "unchanged", nil},
		"server-default":  {"RelayServer", `{host: a}`, `{host: a, maxStaleness: 5m}`, "configured", nil}, // only what kubectl notes of the manifest
		"server-bad":      {"RelayServer", `{host: a}`, `{host: A}`, "", []string{`spec.host: Invalid value: "A": ` + notAHost}},

		"user-memo":             {"RelayUser", `{serverRef: {name: asp1}}`, `{serverRef: {name: asp1}, memo: new, suspended: true}`, "configured", nil},
		"user-same":             {"RelayUser", `{serverRef: {name: asp1}}`, `{serverRef: {name: asp1}}`, "unchanged", nil},
		"user-other-server":     {"RelayUser", `{serverRef: {name: asp1}}`, `{serverRef: {name: asp2}}`, "", []string{serverRefFixed}},
		"user-own-name":         {"RelayUser", `{serverRef: {name: asp1}}`, `{serverRef: {name: asp1}, userName: user-own-name}`, "configured", nil},
		"user-own-name-removed": {"RelayUser", `{serverRef: {name: asp1}, userName: user-own-name-removed}`, `{serverRef: {name: asp1}}`, "configured", nil},
		"user-new-name":         {"RelayUser", `{serverRef: {name: asp1}}`, `{serverRef: {name: asp1}, userName: taro}`, "", []string{userNameFixed}},
		"user-other-name":       {"RelayUser", `{serverRef: {name: asp1}, userName: taro}`, `{serverRef: {name: asp1}, userName: jiro}`, "", []string{userNameFixed}},
		"user-other-case":       {"RelayUser", `{serverRef: {name: asp1}, userName: taro}`, `{serverRef: {name: asp1}, userName: Taro}`, "", []string{userNameFixed}},
		"user-name-removed":     {"RelayUser", `{serverRef: {name: asp1}, userName: taro}`, `{serverRef: {name: asp1}}`, "", []string{userNameFixed}},

		"reset-same":         {"DeviceReset", someReset, someReset, "unchanged", nil},
		"reset-default":      {"DeviceReset", someReset, `{userRef: {name: taro}, slots: [pc], previousDevice: Deny}`, "configured", nil},
		"reset-other-user":   {"DeviceReset", someReset, `{userRef: {name: jiro}, slots: [pc]}`, "", []string{resetFixed}},
		"reset-further-slot": {"DeviceReset", someReset, `{userRef: {name: taro}, slots: [pc, mobile]}`, "", []string{resetFixed}},
		"reset-reason":       {"DeviceReset", someReset, `{userRef: {name: taro}, slots: [pc], reason: INC-1}`, "", []string{resetFixed}},
		"reset-requested-by": {"DeviceReset", someReset, `{userRef: {name: taro}, slots: [pc], requestedBy: jiro}`, "", []string{resetFixed}},
		"reset-request-id":   {"DeviceReset", someReset, `{userRef: {name: taro}, slots: [pc], requestID: again}`, "", []string{resetFixed}},
		"reset-ttl":          {"DeviceReset", someReset, `{userRef: {name: taro}, slots: [pc], ttlSecondsAfterFinished: 60}`, "", []string{resetFixed}},
	} {
		t.Run(name, func(t *testing.T) {
			k := k.in(t)
			k.mustApply(tc.kind, name, tc.before, "created")
			done, causes := k.apply(tc.kind, name, tc.after)
			if done != tc.done {
				t.Errorf("apply says %q, want %q", done, tc.done)
			}
			if diff := cmp.Diff(tc.causes, causes); diff != "" {
				t.Errorf("causes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestApplyingAgainChangesNothing: GitOps compares and applies the same manifest for ever.
func TestApplyingAgainChangesNothing(t *testing.T) {
	k := newKubectl(t)
	for kind, spec := range map[string]string{
		"RelayServer": `{host: a, denial: {messages: [{language: ja, text: 接続できません}]}, throttle: {perUser: {failures: 3, interval: 60s}}}`,
		"RelayUser":   `{serverRef: {name: a}, programs: {viewer: {mobile: true}}, network: {viewer: {allowedCIDRs: [10.0.0.0/8]}}, validUntil: "2027-01-01T00:00:00Z"}`,
		"DeviceReset": `{selector: {matchLabels: {team: sales}}, slots: [pc, mobile]}`,
	} {
		k.mustApply(kind, "one", spec, "created")
		if out := k.run(manifest(kind, "one", spec), "diff", "-f", "-"); out != "" {
			t.Errorf("diff of an applied %s:\n%s", kind, out)
		}
		k.mustApply(kind, "one", spec, "unchanged")

		// The API server stores its default of status with the first change, which the manager makes otherwise.
		for range 2 {
			k.run(manifest(kind, "two", spec), "apply", "--server-side", "-f", "-")
		}
		before := k.run("", "get", kind, "two", "-o", "jsonpath={.metadata.resourceVersion} {.metadata.generation}")
		k.run(manifest(kind, "two", spec), "apply", "--server-side", "-f", "-")
		if after := k.run("", "get", kind, "two", "-o", "jsonpath={.metadata.resourceVersion} {.metadata.generation}"); after != before {
			t.Errorf("%s, applied on the server's side again: resourceVersion and generation %s, want %s", kind, after, before)
		}
	}
}

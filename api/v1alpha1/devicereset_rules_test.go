package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
)

const (
	oneOfTwo   = "spec: Invalid value: name exactly one of userRef (one user) and selector (many)"
	oneDevice  = "spec.nextDevice: Invalid value: needs userRef and exactly one slot: it names one person's next device"
	notADigest = "must be a device digest as shown in a RelayUser's status.recentFailures[].digest"
	badKey     = "spec.selector.matchLabels: Invalid value: must have labels' names as keys, such as team or example.com/team"
	badValue   = "must be a label's value: letters, digits, '-', '_' and '.'"
)

// reset is a DeviceReset's spec of one user's pc slot with further fields.
func reset(fields string) string { return `{userRef: {name: taro}, slots: [pc]` + fields + `}` }

func TestDeviceResetRules(t *testing.T) {
	testRules(t, "DeviceReset", "taro-new-phone", newReset, map[string]ruleCase{
		"the least":           {spec: reset(``)},
		"everything":          {spec: reset(`, reason: "INC-1234: new phone", requestID: INC-1234, nextDevice: "` + digest + `", previousDevice: Allow, requestedBy: admin, activeDeadlineSeconds: 604800, ttlSecondsAfterFinished: 0`)},
		"a batch":             {spec: `{selector: {matchLabels: {team: sales, example.com/site: ""}}, maxUsers: 100000, slots: [pc, mobile]}`},
		"nothing":             {spec: `{}`, want: []string{"spec.slots: Required value"}},
		"no slot":             {spec: `{userRef: {name: taro}, slots: []}`, want: []string{"spec.slots: Invalid value: 0: spec.slots in body should have at least 1 items"}},
		"a slot for a string": {spec: `{userRef: {name: taro}, slots: pc}`, want: []string{`spec.slots: Invalid value: "string": spec.slots in body must be of type array: "string"`}},
		"an unknown slot":     {spec: `{userRef: {name: taro}, slots: [tablet]}`, want: []string{`spec.slots[0]: Unsupported value: "tablet": supported values: "pc", "mobile"`}},
		"a slot twice":        {spec: `{userRef: {name: taro}, slots: [pc, pc]}`, want: []string{`spec.slots[1]: Duplicate value: "pc"`}},
		"three slots":         {spec: `{userRef: {name: taro}, slots: [pc, mobile, pc]}`, want: []string{"spec.slots: Too many: 3: must have at most 2 items", `spec.slots[2]: Duplicate value: "pc"`}},
		"an unknown field":    {spec: reset(`, user: taro`), want: []string{`Error from server (BadRequest): error when creating "STDIN": DeviceReset in version "v1alpha1" cannot be handled as a DeviceReset: strict decoding error: unknown field "spec.user"`}},

		"nobody":                 {spec: `{slots: [pc]}`, want: []string{oneOfTwo}},
		"one and many":           {spec: reset(`, selector: {matchLabels: {team: sales}}`), want: []string{oneOfTwo}},
		"user without a name":    {spec: `{userRef: {}, slots: [pc]}`, want: []string{"spec.userRef.name: Required value"}},
		"user by login name":     {spec: `{userRef: {name: 山田太郎}, slots: [pc]}`, want: []string{`spec.userRef.name: Invalid value: "山田太郎": ` + notAName}},
		"user in another case":   {spec: `{userRef: {name: Taro}, slots: [pc]}`, want: []string{`spec.userRef.name: Invalid value: "Taro": ` + notAName}},
		"user, kind and name":    {spec: `{userRef: {name: ru/taro}, slots: [pc]}`, want: []string{`spec.userRef.name: Invalid value: "ru/taro": ` + notAName}},
		"maxUsers with one user": {spec: reset(`, maxUsers: 3`), want: []string{"spec.maxUsers: Invalid value: limits a selector: leave it out with userRef"}},
		"maxUsers of none":       {spec: `{selector: {matchLabels: {a: b}}, maxUsers: 0, slots: [pc]}`, want: []string{"spec.maxUsers: Invalid value: 0: spec.maxUsers in body should be greater than or equal to 1"}},
		"maxUsers of too many":   {spec: `{selector: {matchLabels: {a: b}}, maxUsers: 100001, slots: [pc]}`, want: []string{"spec.maxUsers: Invalid value: 100001: spec.maxUsers in body should be less than or equal to 100000"}},

		"reason of 256":     {spec: reset(`, reason: "` + times("あ", 256) + `"`)},
		"reason of 257":     {spec: reset(`, reason: "` + times("あ", 257) + `"`), want: []string{"spec.reason: Too long: may not be more than 256 bytes"}},
		"requestID, empty":  {spec: reset(`, requestID: ""`), want: []string{`spec.requestID: Invalid value: "": spec.requestID in body should be at least 1 chars long`}},
		"requestID of 253":  {spec: reset(`, requestID: "` + times("あ", 253) + `"`)},
		"requestID of 254":  {spec: reset(`, requestID: "` + times("あ", 254) + `"`), want: []string{"spec.requestID: Too long: may not be more than 253 bytes"}},
		"requestID, hidden": {spec: reset(`, requestID: "INC\u200b1"`), want: []string{`spec.requestID: Invalid value: "INC\u200b1": must not contain control characters or invisible characters`}},
		"requestID, words":  {spec: reset(`, requestID: "ticket 1234, second try"`)},

		"previousDevice, unknown": {spec: reset(`, previousDevice: deny`), want: []string{`spec.previousDevice: Unsupported value: "deny": supported values: "Deny", "Allow"`}},
		"requestedBy of 513":      {spec: reset(`, requestedBy: ` + times("a", 513)), want: []string{"spec.requestedBy: Too long: may not be more than 512 bytes"}},
		"deadline of 1 s":         {spec: reset(`, activeDeadlineSeconds: 1`)},
		"deadline of 0":           {spec: reset(`, activeDeadlineSeconds: 0`), want: []string{"spec.activeDeadlineSeconds: Invalid value: 0: spec.activeDeadlineSeconds in body should be greater than or equal to 1"}},
		"deadline of a week":      {spec: reset(`, activeDeadlineSeconds: 604801`), want: []string{"spec.activeDeadlineSeconds: Invalid value: 604801: spec.activeDeadlineSeconds in body should be less than or equal to 604800"}},
		"TTL, negative":           {spec: reset(`, ttlSecondsAfterFinished: -1`), want: []string{"spec.ttlSecondsAfterFinished: Invalid value: -1: spec.ttlSecondsAfterFinished in body should be greater than or equal to 0"}},
	})
}

func TestDeviceResetNextDeviceRules(t *testing.T) {
	next := func(digest string) string { return reset(fmt.Sprintf(`, nextDevice: %q`, digest)) }
	cases := map[string]ruleCase{
		"short key id":   {spec: next("k:" + times("A", 43))},
		"long key id":    {spec: next(times("k", 16) + ":" + times("_", 43))},
		"two slots":      {spec: `{userRef: {name: taro}, slots: [pc, mobile], nextDevice: "` + digest + `"}`, want: []string{oneDevice}},
		"many users":     {spec: `{selector: {matchLabels: {a: b}}, slots: [pc], nextDevice: "` + digest + `"}`, want: []string{oneDevice}},
		"no user at all": {spec: `{slots: [pc], nextDevice: "` + digest + `"}`, want: []string{oneDevice, oneOfTwo}},
		"of 61":          {spec: next(times("k", 17) + ":" + times("A", 43)), want: []string{"spec.nextDevice: Too long: may not be more than 60 bytes"}},
	}
	for name, digest := range map[string]string{
		"empty": "", "raw fingerprint": "SN-0001", "no key id": ":" + times("A", 43), "too short": "k1:" + times("A", 42), "too long": "k1:" + times("A", 44),
		"base64, not base64url": "k1:" + times("+", 43), "padded": "k1:" + times("A", 42) + "=", "key id in upper case": "K1:" + times("A", 43),
	} {
		cases[name] = ruleCase{spec: next(digest), want: []string{fmt.Sprintf("spec.nextDevice: Invalid value: %q: %s", digest, notADigest)}}
	}
	testRules(t, "DeviceReset", "taro-new-phone", newReset, cases)
}

func TestDeviceResetSelectorRules(t *testing.T) {
	selector := func(labels string) string { return `{slots: [pc], selector: {matchLabels: {` + labels + `}}}` }
	var labels []string
	for i := range 17 {
		labels = append(labels, fmt.Sprintf("label-%d: v", i))
	}
	testRules(t, "DeviceReset", "all-of-sales", newReset, map[string]ruleCase{
		"of nothing":       {spec: `{slots: [pc], selector: {}}`, want: []string{"spec.selector.matchLabels: Required value"}},
		"of no label":      {spec: selector(``), want: []string{"spec.selector.matchLabels: Invalid value: 0: spec.selector.matchLabels in body should have at least 1 properties"}},
		"by expressions":   {spec: `{slots: [pc], selector: {matchLabels: {a: b}, matchExpressions: []}}`, want: []string{`Error from server (BadRequest): error when creating "STDIN": DeviceReset in version "v1alpha1" cannot be handled as a DeviceReset: strict decoding error: unknown field "spec.selector.matchExpressions"`}},
		"of 16 labels":     {spec: selector(strings.Join(labels[:16], ", "))},
		"of 17 labels":     {spec: selector(strings.Join(labels, ", ")), want: []string{"spec.selector.matchLabels: Too many: 17: must have at most 16 items"}},
		"key of 63":        {spec: selector(`example.com/` + times("a", 63) + `: b`)},
		"key of 64":        {spec: selector(`example.com/` + times("a", 64) + `: b`), want: []string{badKey}},
		"key with a space": {spec: selector(`"a b": c`), want: []string{badKey}},
		"key, two slashes": {spec: selector(`"a/b/c": c`), want: []string{badKey}},
		"key, empty":       {spec: selector(`"": c`), want: []string{badKey}},
		"value of 63":      {spec: selector(`a: ` + times("b", 63))},
		"value of 64":      {spec: selector(`a: ` + times("b", 64)), want: []string{"spec.selector.matchLabels.a: Too long: may not be more than 63 bytes"}},
		"value with space": {spec: selector(`a: "b c"`), want: []string{`spec.selector.matchLabels[a]: Invalid value: "b c": ` + badValue}},
		"value, a number":  {spec: selector(`a: 1`), want: []string{`spec.selector.matchLabels.a: Invalid value: "integer": spec.selector.matchLabels.a in body must be of type string: "integer"`}},
	})
}

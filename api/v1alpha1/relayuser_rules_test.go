package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
)

const (
	notAName    = "must be an object's metadata.name: lower case letters, digits, '-' and '.'"
	notAMAC     = "must be a MAC address such as 00:11:22:aa:bb:cc, 00-11-22-AA-BB-CC, 0011.22aa.bbcc or 001122aabbcc"
	invisible   = "must not contain spaces, control characters or invisible characters"
	noMobile    = "spec.programs.viewer.combined: Invalid value: needs mobile: true; it permits a phone beside the PC"
	badValidity = "spec.validUntil: Invalid value: must be after validFrom"
)

// user is a RelayUser's spec with further fields.
func user(fields string) string { return `{serverRef: {name: asp1}` + fields + `}` }

func TestRelayUserRules(t *testing.T) {
	testRules(t, "RelayUser", "taro", newUser, map[string]ruleCase{
		"the least":                      {spec: user(``)},
		"everything":                     {spec: user(`, userName: taro, type: Administrator, programs: {viewer: {unbound: true, mobile: true, combined: true}, client: true}, password: {secretRef: {name: taro-password}}, network: {viewer: {allowedCIDRs: [10.0.0.0/8], allowedMACs: ["00:11:22:aa:bb:cc"]}, client: {allowedCIDRs: ["::/0"]}}, passwordSaving: {login: true, windows: true}, suspended: true, validFrom: "2026-01-01T00:00:00Z", validUntil: "2026-12-31T00:00:00Z", memo: "one\ntwo"`)},
		"without a server":               {spec: `{}`, want: []string{"spec.serverRef: Required value"}},
		"server without a name":          {spec: `{serverRef: {}}`, want: []string{"spec.serverRef.name: Required value"}},
		"server, empty":                  {spec: `{serverRef: {name: ""}}`, want: []string{`spec.serverRef.name: Invalid value: "": spec.serverRef.name in body should be at least 1 chars long`, `spec.serverRef.name: Invalid value: "": ` + notAName}},
		"server by its host, upper case": {spec: `{serverRef: {name: ASP1}}`, want: []string{`spec.serverRef.name: Invalid value: "ASP1": ` + notAName}},
		"server, of 254":                 {spec: `{serverRef: {name: ` + times("a", 254) + `}}`, want: []string{"spec.serverRef.name: Too long: may not be more than 253 bytes"}},
		"name of 128":                    {name: times("a", 128), spec: user(``)},
		"name of 129":                    {name: times("a", 129), spec: user(``), want: []string{"metadata: Invalid value: name must be at most 128 characters"}},
		"an unknown field":               {spec: user(`, programs: {viewer: {pc: true}}`), want: []string{`Error from server (BadRequest): error when creating "STDIN": RelayUser in version "v1alpha1" cannot be handled as a RelayUser: strict decoding error: unknown field "spec.programs.viewer.pc"`}},

		"type, unknown":         {spec: user(`, type: Admin`), want: []string{`spec.type: Unsupported value: "Admin": supported values: "General", "Administrator"`}},
		"mobile alone":          {spec: user(`, programs: {viewer: {mobile: true}}`)},
		"combined alone":        {spec: user(`, programs: {viewer: {combined: true}}`), want: []string{noMobile}},
		"combined, mobile off":  {spec: user(`, programs: {viewer: {combined: true, mobile: false}}`), want: []string{noMobile}},
		"neither":               {spec: user(`, programs: {viewer: {combined: false, mobile: false}}`)},
		"a program as a string": {spec: user(`, programs: {client: "yes"}`), want: []string{`spec.programs.client: Invalid value: "string": spec.programs.client in body must be of type boolean: "string"`}},

		"password from nowhere":     {spec: user(`, password: {}`), want: []string{"spec.password.secretRef: Required value"}},
		"password in the manifest":  {spec: user(`, password: {secretRef: {name: "correct horse"}}`), want: []string{`spec.password.secretRef.name: Invalid value: "correct horse": ` + notAName}},
		"password, not a reference": {spec: user(`, password: hunter2`), want: []string{`spec.password: Invalid value: "string": spec.password in body must be of type object: "string"`}},

		"minimum kind":              {spec: user(`, minimumDeviceKind: Proof`)},
		"minimum kind that is none": {spec: user(`, minimumDeviceKind: proof`), want: []string{`spec.minimumDeviceKind: Unsupported value: "proof": supported values: "Opaque", "Certificate", "Proof"`}},
		"sessions ended":            {spec: user(`, endSessionsBefore: "2026-01-01T00:00:00Z"`)},
		"sessions ended, no time":   {spec: user(`, endSessionsBefore: now`), want: []string{`spec.endSessionsBefore: Invalid value: "now": spec.endSessionsBefore in body must be of type date-time: "now"`, `spec.endSessionsBefore: Invalid value: "now": spec.endSessionsBefore in body should match '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$'`}},

		"valid from":              {spec: user(`, validFrom: "2026-01-01T00:00:00Z"`)},
		"valid until":             {spec: user(`, validUntil: "2026-01-01T00:00:00+09:00"`)},
		"valid for a second":      {spec: user(`, validFrom: "2026-01-01T00:00:00Z", validUntil: "2026-01-01T00:00:01Z"`)},
		"valid for no time":       {spec: user(`, validFrom: "2026-01-01T00:00:00Z", validUntil: "2026-01-01T00:00:00Z"`), want: []string{badValidity}},
		"valid backwards":         {spec: user(`, validFrom: "2026-01-02T00:00:00Z", validUntil: "2026-01-01T00:00:00Z"`), want: []string{badValidity}},
		"valid, one instant":      {spec: user(`, validFrom: "2026-01-01T00:00:00Z", validUntil: "2026-01-01T09:00:00+09:00"`), want: []string{badValidity}},
		"valid from a mere date":  {spec: user(`, validFrom: "2026-01-01"`), want: []string{`spec.validFrom: Invalid value: "2026-01-01": spec.validFrom in body must be of type date-time: "2026-01-01"`, `spec.validFrom: Invalid value: "2026-01-01": spec.validFrom in body should match '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$'`}},
		"valid until, no offset":  {spec: user(`, validUntil: "2026-01-01T00:00:00"`), want: []string{`spec.validUntil: Invalid value: "2026-01-01T00:00:00": spec.validUntil in body must be of type date-time: "2026-01-01T00:00:00"`, `spec.validUntil: Invalid value: "2026-01-01T00:00:00": spec.validUntil in body should match '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$'`}},
		"memo of 1024":            {spec: user(`, memo: "` + times("あ", 1024) + `"`)},
		"memo of 1025":            {spec: user(`, memo: "` + times("あ", 1025) + `"`), want: []string{"spec.memo: Too long: may not be more than 1024 bytes"}},
		"suspended, as a string":  {spec: user(`, suspended: "true"`), want: []string{`spec.suspended: Invalid value: "string": spec.suspended in body must be of type boolean: "string"`}},
		"saving, without a value": {spec: user(`, passwordSaving: {login: }`)},
	})
}

func TestRelayUserLoginNames(t *testing.T) {
	cases := map[string]ruleCase{}
	for name, userName := range map[string]string{
		"one letter": `a`, "kanji": `山田太郎`, "mail": `taro@example.com`, "domain": `CORP\\taro`, "full width": `ｔａｒｏ`,
		"128 characters": times("あ", 128), "accent": `Zoë`, "punctuation": `o'taro+1_x-2.3`, "right to left": `דוד`,
	} {
		cases[name] = ruleCase{spec: user(`, userName: "` + userName + `"`)}
	}
	for name, userName := range map[string]string{ // in YAML and in Go's quotes alike
		"space": `ta ro`, "leading space": ` taro`, "ideographic space": `ta\u3000ro`, "no-break space": `ta\u00a0ro`,
		"tab": `ta\tro`, "line feed": `taro\n`, "escape": `\x1b[2Jtaro`, "delete": `ta\x7fro`, "NUL": `ta\x00ro`,
		"zero-width space": `ta\u200bro`, "zero-width joiner": `ta\u200dro`, "soft hyphen": `ta\u00adro`,
		"right-to-left override": `ta\u202ero`, "line separator": `ta\u2028ro`, "byte order mark": `\ufefftaro`,
		"private use": `ta\ue000ro`, "next line": `ta\u0085ro`, "tag": `ta\U000e0041ro`,
	} {
		cases[name] = ruleCase{
			spec: user(`, userName: "` + userName + `"`),
			want: []string{`spec.userName: Invalid value: "` + userName + `": ` + invisible},
		}
	}
	cases["empty"] = ruleCase{spec: user(`, userName: ""`), want: []string{`spec.userName: Invalid value: "": spec.userName in body should be at least 1 chars long`}}
	cases["129 characters"] = ruleCase{spec: user(`, userName: ` + times("a", 129)), want: []string{"spec.userName: Too long: may not be more than 128 bytes"}}
	cases["a number"] = ruleCase{spec: user(`, userName: 42`), want: []string{`spec.userName: Invalid value: "integer": spec.userName in body must be of type string: "integer"`}}
	testRules(t, "RelayUser", "taro", newUser, cases)
}

func TestRelayUserNetworks(t *testing.T) {
	cases := map[string]ruleCase{}
	program := "viewer"
	add := func(name, list string, values []string, causes ...string) {
		quoted := `"` + strings.Join(values, `", "`) + `"` // YAML's quotes, which are not all Go's
		tc := ruleCase{spec: user(fmt.Sprintf(`, network: {%s: {%s: [%s]}}`, program, list, quoted))}
		for _, cause := range causes {
			tc.want = append(tc.want, "spec.network."+program+"."+list+cause)
		}
		cases[program+", "+name] = tc
	}
	add("networks", "allowedCIDRs", []string{
		"192.0.2.0/24", "192.0.2.7/32", "0.0.0.0/0", "2001:db8::/32", "2001:DB8:0:1::/64", "2001:0db8:0000:0000:0000:0000:0000:0000/127", "::/0",
	})
	for name, network := range map[string]string{
		"host bits": "192.0.2.1/24", "host bits, IPv6": "2001:db8::1/32", "address": "10.0.0.0", "netmask": "10.0.0.0/255.0.0.0",
		"IPv4-mapped": "::ffff:10.0.0.0/104", "zone": "fe80::%eth0/64", "prefix too long": "10.0.0.0/33", "negative prefix": "10.0.0.0/-1",
		"leading zero": "010.0.0.0/8", "range": "10.0.0.0-10.0.0.9", "space": "10.0.0.0/8 ", "name": "example.com/24", "empty": "",
	} {
		add("network, "+name, "allowedCIDRs", []string{network}, fmt.Sprintf("[0]: Invalid value: %q: %s", network, notANetwork))
	}
	add("network, long", "allowedCIDRs", []string{times("0", 44)}, "[0]: Too long: may not be more than 43 bytes")
	add("network twice", "allowedCIDRs", []string{"10.0.0.0/8", "10.0.0.0/8"}, `[1]: Duplicate value: "10.0.0.0/8"`)
	add("64 networks", "allowedCIDRs", strings.Split(networks(64), ", "))
	add("65 networks", "allowedCIDRs", strings.Split(networks(65), ", "), ": Too many: 65: must have at most 64 items")

	add("addresses", "allowedMACs", []string{"00:11:22:aa:bb:cc", "00-11-22-AA-BB-CC", "0011.22aa.bbcc", "001122aabbcc", "0011.22Aa.bBcC"})
	for name, mac := range map[string]string{
		"mixed separators": "00:11-22:aa:bb:cc", "mixed dot": "0011.22aa-bbcc", "too short": "00:11:22:aa:bb", "no hexadecimal": "00:11:22:aa:bb:cg",
		"single digits": "0:1:2:3:4:5", "pairs with dots": "00.11.22.aa.bb.cc", "11 digits": "001122aabbc", "empty": "", "wildcard": "00:11:22:*",
		"line feed": "001122aabbcc\n", "spaces": "00 11 22 aa bb cc",
	} {
		add("address, "+name, "allowedMACs", []string{strings.ReplaceAll(mac, "\n", `\n`)}, fmt.Sprintf("[0]: Invalid value: %q: %s", mac, notAMAC))
	}
	add("address of 64 bits", "allowedMACs", []string{"00:11:22:aa:bb:cc:dd:ee"}, "[0]: Too long: may not be more than 17 bytes")
	add("address twice", "allowedMACs", []string{"001122aabbcc", "001122aabbcc"}, `[1]: Duplicate value: "001122aabbcc"`)

	program = "client"
	add("networks", "allowedCIDRs", []string{"192.0.2.0/24"})
	add("network, host bits", "allowedCIDRs", []string{"192.0.2.1/24"}, `[0]: Invalid value: "192.0.2.1/24": `+notANetwork)
	add("65 networks", "allowedCIDRs", strings.Split(networks(65), ", "), ": Too many: 65: must have at most 64 items")
	add("addresses", "allowedMACs", []string{"0011.22aa.bbcc"})
	add("address, too short", "allowedMACs", []string{"00:11:22:aa:bb"}, `[0]: Invalid value: "00:11:22:aa:bb": `+notAMAC)
	testRules(t, "RelayUser", "taro", newUser, cases)
}

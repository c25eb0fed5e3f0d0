package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
)

const (
	notAHost     = "must be a DNS name in lower case, such as asp1.example.com"
	notANetwork  = "must be a network such as 192.0.2.0/24 or 2001:db8::/32, with no bits set after the prefix"
	serverName   = "metadata: Invalid value: name must be at most 40 characters without dots: the names of the server's Secrets and Leases begin with it"
	notALanguage = "must be a language tag such as en, ja or pt-BR"
)

func TestRelayServerRules(t *testing.T) {
	testRules(t, "RelayServer", "asp1", newServer, map[string]ruleCase{
		"the least":        {spec: `{host: asp1.example.com}`},
		"without a host":   {spec: `{}`, want: []string{"spec.host: Required value"}},
		"empty host":       {spec: `{host: ""}`, want: []string{`spec.host: Invalid value: "": spec.host in body should be at least 1 chars long`, `spec.host: Invalid value: "": ` + notAHost}},
		"host upper case":  {spec: `{host: ASP1.example.com}`, want: []string{`spec.host: Invalid value: "ASP1.example.com": ` + notAHost}},
		"host with a port": {spec: `{host: "asp1.example.com:443"}`, want: []string{`spec.host: Invalid value: "asp1.example.com:443": ` + notAHost}},
		"host with a URL":  {spec: `{host: "https://asp1.example.com"}`, want: []string{`spec.host: Invalid value: "https://asp1.example.com": ` + notAHost}},
		"host, empty part": {spec: `{host: asp1..com}`, want: []string{`spec.host: Invalid value: "asp1..com": ` + notAHost}},
		"host, 63 a part":  {spec: `{host: ` + times("a", 63) + `.com}`},
		"host, 64 a part":  {spec: `{host: ` + times("a", 64) + `.com}`, want: []string{`spec.host: Invalid value: "` + times("a", 64) + `.com": ` + notAHost}},
		"host, 253":        {spec: `{host: ` + times("a.", 126) + `b}`},
		"host, 254":        {spec: `{host: ` + times("a.", 126) + `bc}`, want: []string{`spec.host: Too long: may not be more than 253 bytes`}},

		"name of 40":       {name: times("a", 40), spec: `{host: a}`},
		"name of 41":       {name: times("a", 41), spec: `{host: a}`, want: []string{serverName}},
		"name with a dot":  {name: "a.b", spec: `{host: a}`, want: []string{serverName}},
		"an unknown field": {spec: `{host: a, hots: b}`, want: []string{`Error from server (BadRequest): error when creating "STDIN": RelayServer in version "v1alpha1" cannot be handled as a RelayServer: strict decoding error: unknown field "spec.hots"`}},

		"enrollment ReservedOnly": {spec: `{host: a, enrollment: ReservedOnly}`},
		"enrollment, unknown":     {spec: `{host: a, enrollment: Anyone}`, want: []string{`spec.enrollment: Unsupported value: "Anyone": supported values: "FirstLogin", "ReservedOnly"`}},

		"code 1":         {spec: `{host: a, denial: {code: 1}}`},
		"code 0":         {spec: `{host: a, denial: {code: 0}}`, want: []string{"spec.denial.code: Invalid value: 0: spec.denial.code in body should be greater than or equal to 1"}},
		"code 1000000":   {spec: `{host: a, denial: {code: 1000000}}`, want: []string{"spec.denial.code: Invalid value: 1000000: spec.denial.code in body should be less than or equal to 999999"}},
		"code as string": {spec: `{host: a, denial: {code: "293"}}`, want: []string{`spec.denial.code: Invalid value: "string": spec.denial.code in body must be of type integer: "string"`}},

		"history of 1":  {spec: `{host: a, failureHistoryLimit: 1}`},
		"history of 50": {spec: `{host: a, failureHistoryLimit: 50}`},
		"history of 0":  {spec: `{host: a, failureHistoryLimit: 0}`, want: []string{"spec.failureHistoryLimit: Invalid value: 0: spec.failureHistoryLimit in body should be greater than or equal to 1"}},
		"history of 51": {spec: `{host: a, failureHistoryLimit: 51}`, want: []string{"spec.failureHistoryLimit: Invalid value: 51: spec.failureHistoryLimit in body should be less than or equal to 50"}},

		"history":                {spec: `{host: a, history: {retention: 24h, unknownUserNames: Keep}}`},
		"history for ten years":  {spec: `{host: a, history: {retention: 87600h, unknownUserNames: Omit}}`},
		"history for too short":  {spec: `{host: a, history: {retention: 23h59m}}`, want: []string{`spec.history.retention: Invalid value: "23h59m": must be a duration between 24h and 87600h, such as 8760h`}},
		"history for too long":   {spec: `{host: a, history: {retention: 87601h}}`, want: []string{`spec.history.retention: Invalid value: "87601h": must be a duration between 24h and 87600h, such as 8760h`}},
		"history in days":        {spec: `{host: a, history: {retention: 30d}}`, want: []string{`spec.history.retention: Invalid value: "30d": must be a duration between 24h and 87600h, such as 8760h`}},
		"history of a number":    {spec: `{host: a, history: {retention: 24}}`, want: []string{`spec.history.retention: Invalid value: "integer": spec.history.retention in body must be of type string: "integer"`}},
		"history of half a name": {spec: `{host: a, history: {unknownUserNames: Hash}}`, want: []string{`spec.history.unknownUserNames: Unsupported value: "Hash": supported values: "Omit", "Keep"`}},

		"throttle":             {spec: `{host: a, throttle: {perUser: {failures: 1, interval: 1s}, perSource: {failures: 100000, interval: 24h}}}`},
		"throttle of nothing":  {spec: `{host: a, throttle: {perUser: {failures: 0, interval: 1m}}}`, want: []string{"spec.throttle.perUser.failures: Invalid value: 0: spec.throttle.perUser.failures in body should be greater than or equal to 1"}},
		"throttle of too many": {spec: `{host: a, throttle: {perSource: {failures: 100001, interval: 1m}}}`, want: []string{"spec.throttle.perSource.failures: Invalid value: 100001: spec.throttle.perSource.failures in body should be less than or equal to 100000"}},
		"half a throttle":      {spec: `{host: a, throttle: {perUser: {failures: 5}}}`, want: []string{"spec.throttle.perUser.interval: Required value"}},
		"the other half":       {spec: `{host: a, throttle: {perSource: {interval: 1m}}}`, want: []string{"spec.throttle.perSource.failures: Required value"}},

		"session":                     {spec: `{host: a, session: {ttl: 1m, maxPerUser: 1, keyRotation: 24h}}`},
		"sessions, as many as may be": {spec: `{host: a, session: {ttl: 168h, maxPerUser: 1000, keyRotation: 8760h}}`},
		"no sessions":                 {spec: `{host: a, session: {maxPerUser: 0}}`, want: []string{"spec.session.maxPerUser: Invalid value: 0: spec.session.maxPerUser in body should be greater than or equal to 1"}},
		"too many sessions":           {spec: `{host: a, session: {maxPerUser: 1001}}`, want: []string{"spec.session.maxPerUser: Invalid value: 1001: spec.session.maxPerUser in body should be less than or equal to 1000"}},
		"keys that rotate too often":  {spec: `{host: a, session: {keyRotation: 23h}}`, want: []string{`spec.session.keyRotation: Invalid value: "23h": must be a duration between 24h and 8760h, such as 720h`}},
		"keys that rotate too seldom": {spec: `{host: a, session: {keyRotation: 8761h}}`, want: []string{`spec.session.keyRotation: Invalid value: "8761h": must be a duration between 24h and 8760h, such as 720h`}},
		"minimum kind":                {spec: `{host: a, minimumDeviceKind: Certificate}`},
		"minimum kind that is none":   {spec: `{host: a, minimumDeviceKind: Strong}`, want: []string{`spec.minimumDeviceKind: Unsupported value: "Strong": supported values: "Opaque", "Certificate", "Proof"`}},

		"trusted proxies":           {spec: `{host: a, trustedProxies: [127.0.0.0/8, "::1/128"]}`},
		"trusted proxy, host bits":  {spec: `{host: a, trustedProxies: [127.0.0.1/8]}`, want: []string{`spec.trustedProxies[0]: Invalid value: "127.0.0.1/8": ` + notANetwork}},
		"trusted proxy twice":       {spec: `{host: a, trustedProxies: [10.0.0.0/8, 10.0.0.0/8]}`, want: []string{`spec.trustedProxies[1]: Duplicate value: "10.0.0.0/8"`}},
		"64 trusted proxies":        {spec: `{host: a, trustedProxies: [` + networks(64) + `]}`},
		"more than 64 of the above": {spec: `{host: a, trustedProxies: [` + networks(65) + `]}`, want: []string{"spec.trustedProxies: Too many: 65: must have at most 64 items"}},
	})
}

func TestRelayServerDenialMessageRules(t *testing.T) {
	message := func(language, text string) string {
		return fmt.Sprintf(`{host: a, denial: {messages: [{language: %q, text: %q}]}}`, language, text)
	}
	testRules(t, "RelayServer", "asp1", newServer, map[string]ruleCase{
		"two languages": {spec: `{host: a, denial: {messages: [{language: en, text: "Ask us: 0120-000-000"}, {language: pt-BR, text: Não}]}}`},
		"one twice": {
			spec: `{host: a, denial: {messages: [{language: en, text: "1"}, {language: en, text: "2"}]}}`,
			want: []string{
				`spec.denial.messages[1]: Duplicate value: {"language":"en"}`,
				`spec.denial.messages: Invalid value: has one language twice: upper and lower case do not differ`,
			},
		},
		"one in two cases": {
			spec: `{host: a, denial: {messages: [{language: pt-BR, text: "1"}, {language: PT-br, text: "2"}]}}`,
			want: []string{`spec.denial.messages: Invalid value: has one language twice: upper and lower case do not differ`},
		},
		"16 languages": {spec: `{host: a, denial: {messages: [` + messages(16) + `]}}`},
		"17 languages": {spec: `{host: a, denial: {messages: [` + messages(17) + `]}}`, want: []string{"spec.denial.messages: Too many: 17: must have at most 16 items"}},

		"language of a locale": {spec: message("en_US", "x"), want: []string{`spec.denial.messages[0].language: Invalid value: "en_US": ` + notALanguage}},
		"language of 1": {spec: message("e", "x"), want: []string{
			`spec.denial.messages[0].language: Invalid value: "e": spec.denial.messages[0].language in body should be at least 2 chars long`,
			`spec.denial.messages[0].language: Invalid value: "e": ` + notALanguage,
		}},
		"language of 35": {spec: message("en"+times("-abcdefg", 4)+"-", "x"), want: []string{`spec.denial.messages[0].language: Invalid value: "en` + times("-abcdefg", 4) + `-": ` + notALanguage}},
		"language of 36": {spec: message("en"+times("-abcdefg", 4)+"-a", "x"), want: []string{"spec.denial.messages[0].language: Too long: may not be more than 35 bytes"}},

		"no text":          {spec: message("en", ""), want: []string{`spec.denial.messages[0].text: Invalid value: "": spec.denial.messages[0].text in body should be at least 1 chars long`}},
		"text of 512":      {spec: message("ja", times("あ", 512))},
		"text of 513":      {spec: message("ja", times("あ", 513)), want: []string{"spec.denial.messages[0].text: Too long: may not be more than 512 bytes"}},
		"text of 2 lines":  {spec: message("en", "no\nSet-Cookie: a"), want: []string{`spec.denial.messages[0].text: Invalid value: "no\nSet-Cookie: a": must be one line, without control characters`}},
		"text with escape": {spec: `{host: a, denial: {messages: [{language: en, text: "\e[2J"}]}}`, want: []string{`spec.denial.messages[0].text: Invalid value: "\x1b[2J": must be one line, without control characters`}},
	})
}

// TestRelayServerDurations looks at each field that is a duration, with its own bounds.
func TestRelayServerDurations(t *testing.T) {
	cases := map[string]ruleCase{}
	for _, field := range []struct {
		path, spec, example  string
		least, most          string
		tooLittle, tooMuch   string
		fraction, otherUnits string
	}{
		{"spec.maxStaleness", `{host: a, maxStaleness: %s}`, "5m", "5s", "1h", "4999ms", "1h1s", "0.5h", "300s"},
		{"spec.denial.responseTime", `{host: a, denial: {responseTime: %s}}`, "1s", "100ms", "10s", "99ms", "10.000001s", "0.25s", "250ms"},
		{"spec.session.ttl", `{host: a, session: {ttl: %s}}`, "8h", "1m", "168h", "59s", "168h1ms", "1.5h", "604800000ms"},
		{"spec.throttle.perUser.interval", `{host: a, throttle: {perUser: {failures: 5, interval: %s}}}`, "1m", "1s", "24h", "0s", "25h", "0.5m", "1h30m10s"},
		{"spec.throttle.perSource.interval", `{host: a, throttle: {perSource: {failures: 5, interval: %s}}}`, "1m", "1s", "24h", "0s", "25h", "0.5m", "1h30m10s"},
	} {
		for _, good := range []string{field.example, field.least, field.most, field.fraction, field.otherUnits} {
			cases[field.path+" "+good] = ruleCase{spec: fmt.Sprintf(field.spec, good)}
		}
		message := fmt.Sprintf("must be a duration between %s and %s, such as %s", field.least, field.most, field.example)
		malformed := []string{"", "5", "-5m", "5 m", "5M", "1d", "1e1s", "999999h999999h9h", "5us"}
		if field.path != "spec.maxStaleness" {
			malformed = []string{"5"} // the same words in each rule
		}
		for _, bad := range append(malformed, field.tooLittle, field.tooMuch) {
			cases[field.path+" "+bad] = ruleCase{
				spec: fmt.Sprintf(field.spec, `"`+bad+`"`),
				want: []string{fmt.Sprintf("%s: Invalid value: %q: %s", field.path, bad, message)},
			}
		}
		cases[field.path+" is a number"] = ruleCase{
			spec: fmt.Sprintf(field.spec, "5"),
			want: []string{fmt.Sprintf(`%s: Invalid value: "integer": %s in body must be of type string: "integer"`, field.path, field.path)},
		}
		cases[field.path+" is long"] = ruleCase{
			spec: fmt.Sprintf(field.spec, `"00000000000000005"`),
			want: []string{field.path + ": Too long: may not be more than 16 bytes"},
		}
	}
	testRules(t, "RelayServer", "asp1", newServer, cases)
}

// networks are n networks, separated by commas.
func networks(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("10.0.%d.0/24", i)
	}
	return strings.Join(list, ", ")
}

// messages are n denial messages in as many languages, separated by commas.
func messages(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("{language: en-x%d, text: refused}", i)
	}
	return strings.Join(list, ", ")
}

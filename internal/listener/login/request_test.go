package login

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/httpreply"
)

// with is goodBody with a member replaced, added or, when the value is empty, left out.
func with(t testing.TB, member, value string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(goodBody), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, member)
	var b strings.Builder
	b.WriteString("{")
	for _, name := range []string{"user", "password", "program", "viewer", "fingerprint"} {
		if old, ok := members[name]; ok {
			b.WriteString(`"` + name + `":` + string(old) + ",")
		}
	}
	if value != "" {
		b.WriteString(`"` + member + `":` + value + ",")
	}
	return strings.TrimSuffix(b.String(), ",") + "}"
}

const notTheForm = "the body is not a JSON object of the documented form"

func TestBodiesThatAreNoLoginAreRefused(t *testing.T) {
	quoted := `"` + secret + `"`
	const unknownField = "the body has an unknown or repeated field"
	for name, tc := range map[string]struct {
		body string
		want string // detail of the problem; the status is 400, but for a body that is too large
	}{
		"empty":                       {"", notTheForm},
		"white space":                 {" \n\t ", notTheForm},
		"half":                        {goodBody[:40], notTheForm},
		"null":                        {"null", "user must have 1 to 512 bytes"},
		"string":                      {quoted, notTheForm},
		"number":                      {"293", notTheForm},
		"list":                        {"[" + goodBody + "]", notTheForm},
		"two bodies":                  {goodBody + goodBody, notTheForm},
		"something after":             {goodBody + " " + secret, notTheForm},
		"a NUL after":                 {goodBody + "\x00", notTheForm},
		"byte order mark":             {"\ufeff" + goodBody, notTheForm},
		"comment":                     {"/* */" + goodBody, notTheForm},
		"single quotes":               {strings.ReplaceAll(goodBody, `"`, `'`), notTheForm},
		"UTF-16":                      {"{\x00\"\x00u\x00\"\x00}\x00", notTheForm},
		"not UTF-8":                   {with(t, "password", "\"\xff\xfe\""), "the body is not UTF-8"},
		"overlong UTF-8":              {with(t, "password", "\"\xc0\xaf\""), "the body is not UTF-8"},
		"surrogate in UTF-8":          {with(t, "password", "\"\xed\xa0\x80\""), "the body is not UTF-8"},
		"half a surrogate pair":       {with(t, "password", `"\ud800"`), notTheForm},
		"the other half":              {with(t, "password", `"\udc00"`), notTheForm},
		"surrogates reversed":         {with(t, "user", `"\udc00\ud800"`), notTheForm},
		"a replacement character":     {with(t, "user", `"h\ufffdnako"`), notTheForm},
		"an unknown escape":           {with(t, "user", `"\x41"`), notTheForm},
		"raw control character":       {with(t, "user", "\"a\nb\""), notTheForm},
		"unknown field":               {with(t, "admin", quoted), unknownField},
		"unknown field, nested":       {with(t, "admin", `{"`+secret+`":[1,{}]}`), unknownField},
		"prototype":                   {with(t, "__proto__", `{}`), unknownField},
		"different case":              {strings.Replace(goodBody, "user", "User", 1), unknownField},
		"different case besides":      {with(t, "USER", quoted), unknownField},
		"Kelvin sign for k":           {with(t, "\u212aey", quoted), unknownField},
		"repeated field":              {`{"password":` + quoted + `,` + goodBody[1:], unknownField},
		"repeated field, same value":  {`{"viewer":"pc",` + goodBody[1:], unknownField},
		"repeated field, escaped":     {`{"\u0070assword":` + quoted + `,` + goodBody[1:], unknownField},
		"null for a user":             {with(t, "user", "null"), notTheForm},
		"null for a fingerprint":      {with(t, "fingerprint", "null"), notTheForm},
		"null for a viewer":           {with(t, "viewer", "null"), notTheForm},
		"a number for a password":     {with(t, "password", "12345678"), notTheForm},
		"a huge number":               {with(t, "password", "1e999999"), notTheForm},
		"a long number":               {with(t, "password", strings.Repeat("9", 4000)), notTheForm},
		"true for a password":         {with(t, "password", "true"), notTheForm},
		"a list for a user":           {with(t, "user", `["`+secret+`"]`), notTheForm},
		"an object for a user":        {with(t, "user", `{"$ne":""}`), notTheForm},
		"deep lists":                  {strings.Repeat("[", 8000), notTheForm},
		"deep lists, closed":          {strings.Repeat("[", 4000) + strings.Repeat("]", 4000), notTheForm},
		"deep lists for a user":       {with(t, "user", strings.Repeat("[", 4000)+strings.Repeat("]", 4000)), notTheForm},
		"deep objects for an unknown": {with(t, "x", strings.Repeat(`{"a":`, 1300)+"1"+strings.Repeat("}", 1300)), unknownField},

		"no user":                   {with(t, "user", ""), "user must have 1 to 512 bytes"},
		"empty user":                {with(t, "user", `""`), "user must have 1 to 512 bytes"},
		"long user":                 {with(t, "user", `"`+strings.Repeat("u", 513)+`"`), "user must have 1 to 512 bytes"},
		"user of long characters":   {with(t, "user", `"`+strings.Repeat("花", 171)+`"`), "user must have 1 to 512 bytes"},
		"no password":               {with(t, "password", ""), "password must have 1 to 256 bytes"},
		"long password":             {with(t, "password", `"`+strings.Repeat("p", 257)+`"`), "password must have 1 to 256 bytes"},
		"no program":                {with(t, "program", ""), "program must be viewer or client"},
		"unknown program":           {with(t, "program", quoted), "program must be viewer or client"},
		"program in capitals":       {with(t, "program", `"Viewer"`), "program must be viewer or client"},
		"no viewer":                 {with(t, "viewer", ""), "viewer must be pc, mobile or unbound"},
		"unknown viewer":            {with(t, "viewer", quoted), "viewer must be pc, mobile or unbound"},
		"a viewer with the client":  {with(t, "program", `"client"`), "viewer goes with program viewer only"},
		"short fingerprint":         {with(t, "fingerprint", `"aaaaaaa"`), "fingerprint: malformed fingerprint: must have 8 to 1024 bytes"},
		"long fingerprint":          {with(t, "fingerprint", `"`+strings.Repeat("f", 1025)+`"`), "fingerprint: malformed fingerprint: longer than 1024 bytes"},
		"space in a fingerprint":    {with(t, "fingerprint", quoted[:5]+" "+quoted[5:]), "fingerprint: malformed fingerprint: holds white space or control characters"},
		"NUL in a fingerprint":      {with(t, "fingerprint", quoted[:5]+`\u0000`+quoted[5:]), "fingerprint: malformed fingerprint: holds white space or control characters"},
		"no MAC address":            {with(t, "macAddress", quoted), "macAddress: " + decision.ErrMAC.Error()},
		"a MAC address of 64 bits":  {with(t, "macAddress", `"00:11:22:33:44:55:66:77"`), "macAddress: " + decision.ErrMAC.Error()},
		"long destination":          {with(t, "destination", `"`+strings.Repeat("d", 254)+`"`), "destination must have 0 to 253 bytes"},
		"line break in destination": {with(t, "destination", quoted[:5]+`\n`+quoted[5:]), "destination must not hold control characters"},
		"C1 control in destination": {with(t, "destination", quoted[:5]+`\u0085`+quoted[5:]), "destination must not hold control characters"},
		"viewer reached by another": {with(t, "sourceViewer", quoted), "sourceViewer goes with program client only"},
		"long source viewer":        {`{"user":"hanako","password":"pw","program":"client","sourceViewer":"` + strings.Repeat("v", 254) + `"}`, "sourceViewer must have 0 to 253 bytes"},
		"line break in a viewer":    {`{"user":"hanako","password":"pw","program":"client","sourceViewer":"a\nb"}`, "sourceViewer must not hold control characters"},

		"8 KiB and one":   {with(t, "x", `"`+strings.Repeat("x", 8<<10)+`"`)[:8<<10+1], "the body is larger than 8192 bytes"},
		"1 MiB":           {strings.Repeat(secret, 1<<20/len(secret)), "the body is larger than 8192 bytes"},
		"1 MiB of spaces": {goodBody + strings.Repeat(" ", 1<<20), "the body is larger than 8192 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			service := denying(decision.PasswordMismatch)
			w := httptest.NewRecorder()
			NewHandler(service).ServeHTTP(w, newLogin(tc.body))

			var got httpreply.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v in %s", err, w.Body)
			}
			want := httpreply.Problem{Type: httpreply.TypeInvalid, Title: "Invalid request", Status: http.StatusBadRequest, Detail: tc.want}
			if strings.HasPrefix(tc.want, "the body is larger") {
				want.Status = http.StatusRequestEntityTooLarge
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
			if w.Code != want.Status || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("status %d, header %v", w.Code, w.Header())
			}
			if bytes.Contains(w.Body.Bytes(), []byte(secret[:5])) {
				t.Errorf("the answer quotes a value: %s", w.Body)
			}
			if n := len(service.asked()); n != 0 {
				t.Errorf("%d attempts were made of it", n)
			}
		})
	}
}

func TestBodiesBecomeAttempts(t *testing.T) {
	plain := authn.Attempt{
		Listener: "login", UserName: "hanako", Password: []byte("pw"),
		Program: decision.ProgramViewer, Viewer: decision.ViewerPC,
		Source: netip.MustParseAddr("192.0.2.1"), // as httptest has it
	}
	mac := decision.MAC{0x00, 0x11, 0x22, 0xaa, 0xbb, 0xcc}
	for name, tc := range map[string]struct {
		body            string
		change          func(*authn.Attempt)
		wantFingerprint bool
	}{
		"pc":                   {goodBody, func(*authn.Attempt) {}, true},
		"white space around":   {"\r\n\t " + goodBody + "\n", func(*authn.Attempt) {}, true},
		"exactly 8 KiB":        {goodBody + strings.Repeat(" ", 8<<10-len(goodBody)), func(*authn.Attempt) {}, true},
		"mobile":               {with(t, "viewer", `"mobile"`), func(a *authn.Attempt) { a.Viewer = decision.ViewerMobile }, true},
		"unbound":              {with(t, "viewer", `"unbound"`), func(a *authn.Attempt) { a.Viewer = decision.ViewerUnbound }, true},
		"without fingerprint":  {with(t, "fingerprint", ""), func(*authn.Attempt) {}, false},
		"empty fingerprint":    {with(t, "fingerprint", `""`), func(*authn.Attempt) {}, false},
		"NUL in a password":    {with(t, "password", `"a\u0000b"`), func(a *authn.Attempt) { a.Password = []byte("a\x00b") }, true},
		"password of controls": {with(t, "password", `"\t\u007f\u0085"`), func(a *authn.Attempt) { a.Password = []byte("\t\x7f\u0085") }, true},
		"longest password":     {with(t, "password", `"`+strings.Repeat("p", 256)+`"`), func(a *authn.Attempt) { a.Password = bytes.Repeat([]byte("p"), 256) }, true},
		"longest user":         {with(t, "user", `"`+strings.Repeat("u", 512)+`"`), func(a *authn.Attempt) { a.UserName = strings.Repeat("u", 512) }, true},
		"user in Japanese":     {with(t, "user", `"花子"`), func(a *authn.Attempt) { a.UserName = "花子" }, true},
		"surrogate pair":       {with(t, "user", `"\ud83d\ude00"`), func(a *authn.Attempt) { a.UserName = "😀" }, true},
		"user with controls":   {with(t, "user", `"a\u0000\nb"`), func(a *authn.Attempt) { a.UserName = "a\x00\nb" }, true},
		"MAC address":          {with(t, "macAddress", `"0011.22AA.bbcc"`), func(a *authn.Attempt) { a.MAC = mac }, true},
		"empty MAC address":    {with(t, "macAddress", `""`), func(*authn.Attempt) {}, true},
		"destination":          {with(t, "destination", `"office-pc"`), func(a *authn.Attempt) { a.Destination = "office-pc" }, true},
		"client": {
			`{"user":"hanako","password":"pw","program":"client"}`,
			func(a *authn.Attempt) { a.Program, a.Viewer = decision.ProgramClient, decision.ViewerUnknown }, false,
		},
		"client that a viewer reaches": {
			`{"user":"hanako","password":"pw","program":"client","sourceViewer":"pc-of-taro"}`,
			func(a *authn.Attempt) {
				a.Program, a.Viewer, a.SourceViewer = decision.ProgramClient, decision.ViewerUnknown, "pc-of-taro"
			}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			service := allowing()
			w := httptest.NewRecorder()
			NewHandler(service).ServeHTTP(w, newLogin(tc.body))
			if w.Code != http.StatusOK || len(service.asked()) != 1 {
				t.Fatalf("status %d, %d attempts: %s", w.Code, len(service.asked()), w.Body)
			}
			want, got := plain, *service.asked()[0]
			tc.change(&want)
			ignored := cmpopts.IgnoreFields(authn.Attempt{}, "ID", "Arrival", "Fingerprint")
			if diff := cmp.Diff(want, got, ignored, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("attempt (-want +got):\n%s", diff)
			}
			if (got.Fingerprint != nil) != tc.wantFingerprint {
				t.Errorf("fingerprint %v, want one: %v", got.Fingerprint, tc.wantFingerprint)
			}
			if got.ID == "" || got.Arrival.IsZero() {
				t.Errorf("attempt without id or arrival: %q, %v", got.ID, got.Arrival)
			}
		})
	}
}

func TestOnlyJSONIsRead(t *testing.T) {
	for name, tc := range map[string]struct {
		header http.Header
		want   int
	}{
		"JSON":                 {http.Header{"Content-Type": {"application/json"}}, http.StatusOK},
		"in capitals":          {http.Header{"Content-Type": {"Application/JSON"}}, http.StatusOK},
		"UTF-8":                {http.Header{"Content-Type": {`application/json; charset="UTF-8"`}}, http.StatusOK},
		"another charset":      {http.Header{"Content-Type": {"application/json; charset=shift_jis"}}, http.StatusUnsupportedMediaType},
		"a parameter repeated": {http.Header{"Content-Type": {"application/json; charset=utf-8; charset=latin1"}}, http.StatusUnsupportedMediaType},
		"none":                 {http.Header{}, http.StatusUnsupportedMediaType},
		"a form":               {http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, http.StatusUnsupportedMediaType},
		"text":                 {http.Header{"Content-Type": {"text/plain"}}, http.StatusUnsupportedMediaType},
		"almost JSON":          {http.Header{"Content-Type": {"application/json5"}}, http.StatusUnsupportedMediaType},
		"garbage":              {http.Header{"Content-Type": {";=" + secret}}, http.StatusUnsupportedMediaType},
		"compressed": {
			http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, http.StatusUnsupportedMediaType,
		},
	} {
		t.Run(name, func(t *testing.T) {
			service := allowing()
			r := newLogin(goodBody)
			r.Header = tc.header
			w := httptest.NewRecorder()
			NewHandler(service).ServeHTTP(w, r)
			if w.Code != tc.want {
				t.Errorf("status %d, want %d: %s", w.Code, tc.want, w.Body)
			}
			if attempts := len(service.asked()); (attempts == 1) != (tc.want == http.StatusOK) {
				t.Errorf("%d attempts", attempts)
			}
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("the answer quotes a value: %s", w.Body)
			}
		})
	}
}

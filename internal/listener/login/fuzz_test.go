package login

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/httpreply"
	"github.com/tegata-dev/tegata/internal/loginbody"
)

// FuzzLoginBody: every body is either refused as invalid, and nothing asked, or becomes one attempt
// within the bounds that the service counts on.
func FuzzLoginBody(f *testing.F) {
	for _, seed := range []string{
		goodBody, "", "null", "{}", `{"user":"a","password":"b","program":"client"}`,
		`{"user":"\ud83d\ude00","password":"\u0000","program":"viewer","viewer":"unbound","destination":"d"}`,
		`{"user":"u","password":"p","program":"client","sourceViewer":"v"}`,
		`{"user":"a","user":"b"}`, proofBody(signed(f, newKey(f), "nonce", "n")), "\ufeff{}", strings.Repeat("[", 100), with(f, "macAddress", `"00-11-22-AA-BB-CC"`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		service := allowing()
		w := httptest.NewRecorder()
		NewHandler(service).ServeHTTP(w, newLogin(body))
		asked := service.asked()
		if w.Code != http.StatusOK {
			assertRefused(t, w, len(asked))
			return
		}
		if len(asked) != 1 {
			t.Fatalf("%d attempts", len(asked))
		}
		assertBounded(t, asked[0])
		// Whoever reads JSON differently, a proxy that inspects bodies for one, must see the same login.
		var again loginbody.Request
		if err := json.Unmarshal([]byte(body), &again); err != nil {
			t.Fatalf("encoding/json refuses what was accepted: %v", err)
		}
		if string(again.User) != asked[0].UserName || string(again.Password) != string(asked[0].Password) {
			t.Fatal("encoding/json reads another login")
		}
	})
}

func assertRefused(t *testing.T, w *httptest.ResponseRecorder, attempts int) {
	t.Helper()
	if w.Code != http.StatusBadRequest && w.Code != http.StatusRequestEntityTooLarge {
		t.Fatalf("status %d", w.Code)
	}
	if attempts != 0 {
		t.Fatalf("refused, and yet %d attempts", attempts)
	}
	var p httpreply.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Type != httpreply.TypeInvalid {
		t.Fatalf("%v: %s", err, w.Body)
	}
}

func assertBounded(t *testing.T, a *authn.Attempt) {
	t.Helper()
	if n := len(a.UserName); n < 1 || n > loginbody.MaxUserBytes || !utf8.ValidString(a.UserName) {
		t.Fatalf("user of %d bytes", n)
	}
	if n := len(a.Password); n < 1 || n > loginbody.MaxPasswordBytes || !utf8.Valid(a.Password) {
		t.Fatalf("password of %d bytes", n)
	}
	if n := len(a.Destination); n > loginbody.MaxDestinationBytes {
		t.Fatalf("destination of %d bytes", n)
	}
	if n := len(a.SourceViewer); n > loginbody.MaxSourceViewerBytes || (n > 0 && a.Program != decision.ProgramClient) {
		t.Fatalf("source viewer of %d bytes, program %s", n, a.Program)
	}
	if a.Proven != nil && a.Fingerprint != nil {
		t.Fatal("a proof without a challenge holds")
	}
	viewer := a.Program == decision.ProgramViewer && a.Viewer != decision.ViewerUnknown
	client := a.Program == decision.ProgramClient && a.Viewer == decision.ViewerUnknown
	if !viewer && !client {
		t.Fatalf("program %d with viewer %d", a.Program, a.Viewer)
	}
}

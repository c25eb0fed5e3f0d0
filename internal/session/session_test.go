package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)

const issuer = "demo/asp1"

// stage is Sessions with everything around it in memory.
type stage struct {
	*Sessions
	t     *testing.T
	now   time.Time
	keys  *Keys
	max   int
	kept  []string
	began []string
	ended []string // id and cause
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, now: noon, keys: mustKeys(t, NewKeys(noon)), max: 3}
	s.Sessions = New(Options{
		Issuer: issuer, Keys: func() *Keys { return s.keys }, MaxPerUser: func() int { return s.max },
		Keep:      func(l *Live) { s.kept = append(s.kept, l.ID) },
		Observers: []Observer{s}, Now: func() time.Time { return s.now },
	})
	return s
}

func (s *stage) Began(l *Live) { s.began = append(s.began, l.ID) }
func (s *stage) Ended(l *Live, cause Cause, _ time.Time) {
	s.ended = append(s.ended, l.ID+" "+string(cause))
}

func mustKeys(t testing.TB, data map[string][]byte) *Keys {
	t.Helper()
	keys, err := ParseKeys(data)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// typical is the session of a phone.
func typical(uid string, begin time.Time) Session {
	return Session{
		ID: NewID(begin), UID: uid, Program: decision.ProgramViewer, Viewer: decision.ViewerMobile, MAC: decision.MAC{0, 1, 2, 3, 4, 5},
		Device:    decision.Device{Digests: []decision.Digest{"k1:phone"}, Kind: decision.KindProof},
		BindingID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Credential: password.Mark{1, 2, 3}, Begin: begin, Expire: begin.Add(time.Hour),
	}
}

func (s *stage) begin(uid string) (*Live, string) {
	s.t.Helper()
	l, token, err := s.Begin(typical(uid, s.now), Details{})
	if err != nil {
		s.t.Fatal(err)
	}
	return l, token
}

// TestTokensHoldAllOfASession: another sidecar, which knows the keys only, reads what was issued.
func TestTokensHoldAllOfASession(t *testing.T) {
	for name, change := range map[string]func(*Session){
		"phone": func(*Session) {},
		"PC":    func(s *Session) { s.Viewer = decision.ViewerPC },
		"unbound": func(s *Session) {
			s.Viewer, s.Device, s.BindingID, s.MAC = decision.ViewerUnbound, decision.Device{}, "", decision.MAC{}
		},
		"client": func(s *Session) {
			s.Program, s.Viewer, s.Device, s.BindingID = decision.ProgramClient, decision.ViewerUnknown, decision.Device{}, ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			here, there := newStage(t), newStage(t)
			there.keys = here.keys
			want := typical("uid-1", noon)
			change(&want)
			_, token, err := here.Begin(want, Details{User: "hanako"})
			if err != nil {
				t.Fatal(err)
			}
			for where, s := range map[string]*stage{"here": here, "there": there} {
				got, err := s.Find(token)
				if err != nil {
					t.Fatal(where, err)
				}
				if diff := cmp.Diff(want, got.Session); diff != "" {
					t.Errorf("%s (-issued +found):\n%s", where, diff)
				}
			}
		})
	}
}

// forge signs any header and claims with a key of the server.
func forge(t *testing.T, keys *Keys, header, payload map[string]any) string {
	t.Helper()
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := encode(header) + "." + encode(payload)
	mac := hmac.New(sha256.New, []byte(*keys.byID[keys.current]))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestTokensThatAreNone tries each with the server's own key where it has to be signed.
func TestTokensThatAreNone(t *testing.T) {
	s := newStage(t)
	_, good := s.begin("uid-1")
	parts := strings.Split(good, ".")
	header := func(change func(map[string]any)) map[string]any {
		h := map[string]any{"alg": "HS256", "typ": tokenType, "kid": s.keys.current}
		change(h)
		return h
	}
	payload := func(change func(map[string]any)) map[string]any {
		var p map[string]any
		b, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil {
			err = json.Unmarshal(b, &p)
		}
		if err != nil {
			t.Fatal(err)
		}
		change(p)
		return p
	}
	same := func(map[string]any) {}
	set := func(name string, value any) func(map[string]any) {
		return func(m map[string]any) { m[name] = value }
	}
	if _, err := s.Find(forge(t, s.keys, header(same), payload(same))); err != nil {
		t.Fatalf("a token that was put together again: %v", err) // or the cases below would prove nothing
	}
	other := mustKeys(t, NewKeys(noon))
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"` + tokenType + `","kid":"` + s.keys.current + `"}`))
	for name, token := range map[string]string{
		"nothing":                 "",
		"garbage":                 "a.b.c",
		"no signature":            parts[0] + "." + parts[1] + ".",
		"half a signature":        good[:len(good)-4],
		"a longer signature":      good + "AAAA",
		"another signature":       parts[0] + "." + parts[1] + "." + strings.Repeat("A", 43),
		"alg none":                unsigned + "." + parts[1] + ".",
		"alg none, signed":        forge(t, s.keys, header(set("alg", "none")), payload(same)),
		"alg HS512":               forge(t, s.keys, header(set("alg", "HS512")), payload(same)),
		"no key id":               forge(t, s.keys, header(func(h map[string]any) { delete(h, "kid") }), payload(same)),
		"unknown key id":          forge(t, s.keys, header(set("kid", "zzzz")), payload(same)),
		"a number for key id":     forge(t, s.keys, header(set("kid", 1)), payload(same)),
		"another's key":           forge(t, other, header(set("kid", other.current)), payload(same)),
		"another's key, our id":   forge(t, other, header(same), payload(same)),
		"another type":            forge(t, s.keys, header(set("typ", "JWT")), payload(same)),
		"another server's":        forge(t, s.keys, header(same), payload(set("iss", "demo/asp2"))),
		"no end":                  forge(t, s.keys, header(same), payload(func(p map[string]any) { delete(p, "exp") })),
		"no user":                 forge(t, s.keys, header(same), payload(set("sub", ""))),
		"no id":                   forge(t, s.keys, header(same), payload(set("jti", "session-1"))),
		"an id in lower case":     forge(t, s.keys, header(same), payload(func(p map[string]any) { p["jti"] = strings.ToLower(fmt.Sprint(p["jti"])) })),
		"an id of the future":     forge(t, s.keys, header(same), payload(set("jti", NewID(noon.Add(time.Hour))))),
		"unknown program":         forge(t, s.keys, header(same), payload(set("prg", "telnet"))),
		"unknown viewer":          forge(t, s.keys, header(same), payload(set("vwr", "tablet"))),
		"a MAC address that none": forge(t, s.keys, header(same), payload(set("mac", "00:11"))),
		"a short credential":      forge(t, s.keys, header(same), payload(set("crd", "AAAA"))),
		"a list for a name":       forge(t, s.keys, header(same), payload(set("sub", []string{"uid-1"}))),
		"too long":                forge(t, s.keys, header(same), payload(set("x", strings.Repeat("x", maxTokenBytes)))),
		"with a space":            " " + good,
		"with padding":            good + "=",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Find(token)
			if !errors.Is(err, ErrInvalid) || got != nil {
				t.Errorf("%v, %v", got, err)
			}
			if err != nil && token != "" && strings.Contains(err.Error(), token) {
				t.Error("the error quotes the token")
			}
		})
	}
}

// TestIssuedTokensAreKnown: what was signed here need not be checked here.
func TestIssuedTokensAreKnown(t *testing.T) {
	s := newStage(t)
	l, token := s.begin("uid-1")
	if got := s.known(s.keys, keyFor(token)); got != l {
		t.Errorf("knows %v", got)
	}
}

func TestNothingWithoutKeys(t *testing.T) {
	s := newStage(t)
	_, token := s.begin("uid-1")
	s.keys = nil
	if _, err := s.Find(token); !errors.Is(err, ErrNoKeys) {
		t.Errorf("found: %v", err)
	}
	if _, _, err := s.Begin(typical("uid-1", noon), Details{}); !errors.Is(err, ErrNoKeys) {
		t.Errorf("begun: %v", err)
	}
}

// TestAWithdrawnKeyEndsItsSessions: also those whose signature was checked before.
func TestAWithdrawnKeyEndsItsSessions(t *testing.T) {
	s := newStage(t)
	_, token := s.begin("uid-1")
	s.keys = mustKeys(t, NewKeys(noon))
	if _, err := s.Find(token); !errors.Is(err, ErrInvalid) {
		t.Errorf("found: %v", err)
	}
}

func TestTheOldestMakesRoom(t *testing.T) {
	s := newStage(t)
	var tokens []string
	var sessions []*Live
	for range 5 {
		l, token := s.begin("uid-1")
		tokens, sessions = append(tokens, token), append(sessions, l)
		s.now = s.now.Add(time.Second)
	}
	s.begin("uid-2")
	for i, token := range tokens {
		l, err := s.Find(token)
		if err != nil || l.Ended() != (i < 2) {
			t.Errorf("session %d: ended %v, %v", i, l.Ended(), err)
		}
	}
	want := []string{sessions[0].ID + " Replaced", sessions[1].ID + " Replaced"}
	if diff := cmp.Diff(want, s.ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if len(s.kept) > 0 {
		t.Errorf("logging in again and again has the API server written: %v", s.kept)
	}
	if got := s.Count(); got != 4 {
		t.Errorf("%d sessions are live, want 4", got)
	}
}

// TestAnEndedSessionStaysEnded: also when its token has been forgotten and has to be checked anew.
func TestAnEndedSessionStaysEnded(t *testing.T) {
	s := newStage(t)
	l, token := s.begin("uid-1")
	if !s.End(l, Logout) || s.End(l, Logout) {
		t.Error("a session ends once")
	}
	clear(s.tokens)
	again, err := s.Find(token)
	if err != nil || !again.Ended() {
		t.Fatalf("found again: ended %v, %v", again.Ended(), err)
	}
	s.Admit(again)
	if s.Count() != 0 {
		t.Error("it counts again")
	}
	if diff := cmp.Diff([]string{l.ID}, s.kept); diff != "" {
		t.Errorf("made known (-want +got):\n%s", diff)
	}
}

// TestWhatWasRefusedMayComeBack: a suspended user's session is over, but not for good.
func TestWhatWasRefusedMayComeBack(t *testing.T) {
	s := newStage(t)
	l, token := s.begin("uid-1")
	s.Review("uid-1", func(*Live) bool { return false })
	if s.Count() != 0 || len(s.kept) > 0 {
		t.Errorf("%d live, %v made known", s.Count(), s.kept)
	}
	again, err := s.Find(token)
	if err != nil || again.Ended() {
		t.Fatalf("ended %v, %v", again.Ended(), err)
	}
	s.Admit(again)
	if diff := cmp.Diff([]string{l.ID, l.ID}, s.began); diff != "" {
		t.Errorf("began (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{l.ID + " Refused"}, s.ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
}

func TestSweep(t *testing.T) {
	s := newStage(t)
	old, _ := s.begin("uid-1")
	s.now = noon.Add(30 * time.Minute)
	young, _ := s.begin("uid-1")
	bad, _ := s.begin("uid-2")
	s.now = noon.Add(time.Hour)
	s.Sweep(func(l *Live) bool { return l != bad })
	slices.Sort(s.ended)
	want := []string{old.ID + " Expired", bad.ID + " Refused"}
	slices.Sort(want)
	if diff := cmp.Diff(want, s.ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	s.End(young, Logout)
	s.now = noon.Add(MaxTTL + 3*time.Hour)
	s.Sweep(func(*Live) bool { return true })
	if len(s.users) != 0 {
		t.Errorf("%d users are remembered of whom nothing is left to know", len(s.users))
	}
}

// TestConcurrentUse has sessions begin, be found, end and be swept at once; what is counted stays true.
func TestConcurrentUse(t *testing.T) {
	keys := mustKeys(t, NewKeys(noon))
	s := New(Options{Issuer: issuer, Keys: func() *Keys { return keys }, MaxPerUser: func() int { return 4 }, Keep: func(*Live) {}})
	done := make(chan error, 8)
	for worker := range 8 {
		go func() {
			for i := range 200 {
				l, token, err := s.Begin(typical(fmt.Sprintf("uid-%d", i%3), time.Now()), Details{})
				if err != nil {
					done <- err
					return
				}
				found, err := s.Find(token)
				if err != nil || found.ID != l.ID {
					done <- fmt.Errorf("worker %d: %w", worker, err)
					return
				}
				s.Admit(found)
				if i%2 == 0 {
					s.End(l, Logout)
				}
				if i%50 == 0 {
					s.Sweep(func(*Live) bool { return true })
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	live := 0
	for _, u := range s.users {
		live += len(u.live)
		if len(u.live) > 4 {
			t.Errorf("%d sessions of one user", len(u.live))
		}
	}
	if s.Count() != live {
		t.Errorf("counted %d, there are %d", s.Count(), live)
	}
}

// TestIDsTellNothingOfOthers: who has a session cannot reckon the id of the one that begins next.
func TestIDsTellNothingOfOthers(t *testing.T) {
	ids := make([]string, 64)
	for i := range ids {
		ids[i] = NewID(noon)
	}
	if slices.IsSorted(ids) {
		t.Errorf("each is above the one before: %q", ids)
	}
}

func TestEnded(t *testing.T) {
	var e Ended
	ids := make([]string, 40)
	for i := range ids {
		ids[i] = NewID(noon.Add(time.Duration(i) * time.Second))
	}
	if !e.Add(noon, 32, ids[5], ids[3]) || e.Add(noon, 32, ids[3]) {
		t.Error("Add says wrongly whether anything changed")
	}
	if !e.Has(ids[3]) || !e.Has(ids[5]) || e.Has(ids[4]) {
		t.Errorf("%v", e)
	}
	for i := 39; i >= 10; i-- {
		e.Add(noon, 32, ids[i])
	}
	if len(e.IDs) != 32 || e.UpTo != "" {
		t.Fatalf("%d ids, up to %q", len(e.IDs), e.UpTo)
	}
	e.Add(noon, 32, ids[9])
	for i, id := range ids {
		// 3 was the oldest: it and all before it are over, 4 is alive, and so are 6, 7 and 8.
		if want := i <= 3 || i == 5 || i >= 9; e.Has(id) != want {
			t.Errorf("session %d ended: %v, want %v", i, e.Has(id), want)
		}
	}
	e.Add(noon.Add(MaxTTL+2*time.Hour), 32)
	if len(e.IDs) != 0 || e.UpTo == "" {
		t.Errorf("after their time: %v", e)
	}
}

// TestRotate follows a Secret through the years, as a manager that looks when it is told to.
func TestRotate(t *testing.T) {
	r := Rotation{Every: 720 * time.Hour, Overlap: time.Hour, Keep: MaxTTL}
	data := NewKeys(noon)
	first := string(data[currentKey])
	var current []string
	var most int
	for now := noon; now.Before(noon.AddDate(1, 0, 0)); {
		changes, wait := Rotate(data, now, r)
		if wait <= 0 {
			t.Fatalf("at %s: look again after %s", now, wait)
		}
		before := mustKeys(t, data)
		for name, value := range changes {
			if value == nil {
				delete(data, name)
				continue
			}
			data[name] = value
		}
		after := mustKeys(t, data)
		if after.current != before.current {
			if before.byID[after.current] == nil {
				t.Fatalf("at %s: a key signs that nobody knew before", now)
			}
			current = append(current, after.current)
		}
		most = max(most, len(after.byID))
		now = now.Add(wait)
	}
	if len(current) != 12 || slices.Contains(current, first) {
		t.Errorf("%d keys signed after the first, want 12", len(current))
	}
	if most > 2 {
		t.Errorf("%d keys at a time", most)
	}
	if data[keyPrefix+first] != nil || data[createdPrefix+first] != nil {
		t.Error("the first key is kept for ever")
	}
}

// TestRotationEndsNoSession: a token that was signed at any time is valid until it expires.
func TestRotationEndsNoSession(t *testing.T) {
	r := Rotation{Every: time.Hour, Overlap: time.Minute, Keep: MaxTTL} // far more often than may be
	data := NewKeys(noon)
	type issued struct {
		token  string
		expire time.Time
	}
	var all []issued
	for now := noon; now.Before(noon.Add(400 * time.Hour)); now = now.Add(10 * time.Minute) {
		changes, _ := Rotate(data, now, r)
		for name, value := range changes {
			if value == nil {
				delete(data, name)
				continue
			}
			data[name] = value
		}
		keys := mustKeys(t, data) // also: they do not pile up
		s := typical("uid-1", now)
		s.Expire = now.Add(MaxTTL)
		token, err := keys.sign(issuer, &s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, issued{token, s.Expire})
		if len(all)%50 != 0 {
			continue
		}
		for _, i := range all {
			if _, err := keys.verify(issuer, i.token, now); err != nil && now.Before(i.expire) {
				t.Fatalf("at %s: a token that expires at %s: %v", now, i.expire, err)
			}
		}
	}
}

func TestRotateMendsWhatItFinds(t *testing.T) {
	r := Rotation{Every: 720 * time.Hour, Overlap: time.Hour, Keep: MaxTTL}
	secret := []byte(strings.Repeat("k", keyBytes))
	for name, data := range map[string]map[string][]byte{
		"nothing":              {},
		"no current":           {"session.a": secret},
		"current of no key":    {"session.a": secret, currentKey: []byte("b")},
		"of an earlier layout": {"session.a": secret, currentKey: []byte("a")},
		"made in the future":   {"session.a": secret, currentKey: []byte("a"), "session-created.a": []byte("2999-01-01T00:00:00Z")},
		"garbage for a time":   {"session.a": secret, currentKey: []byte("a"), "session-created.a": []byte("noon")},
	} {
		t.Run(name, func(t *testing.T) {
			changes, wait := Rotate(data, noon, r)
			maps.Copy(data, changes)
			keys := mustKeys(t, data)
			if name == "of an earlier layout" && keys.current != "a" {
				t.Error("another key signs at once")
			}
			if string(data[createdPrefix+keys.current]) != noon.Format(time.RFC3339) || wait != r.Every {
				t.Errorf("created %q, look again after %s", data[createdPrefix+keys.current], wait)
			}
		})
	}
}

func TestParseKeysRefuses(t *testing.T) {
	secret := strings.Repeat("s", keyBytes)
	for name, data := range map[string]map[string][]byte{
		"nothing":         nil,
		"no current":      {"session.a": []byte(secret)},
		"current of none": {"session.a": []byte(secret), currentKey: []byte("b")},
		"a short key":     {"session.a": []byte(secret[1:]), currentKey: []byte("a")},
		"a bad id":        {"session.A": []byte(secret), currentKey: []byte("A")},
	} {
		keys, err := ParseKeys(data)
		if !errors.Is(err, ErrKeys) || keys != nil {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
		if err != nil && strings.Contains(err.Error(), secret[1:]) {
			t.Errorf("%s: the error quotes a key", name)
		}
	}
	if text := fmt.Sprintf("%+v %#v", mustKeys(t, map[string][]byte{"session.a": []byte(secret), currentKey: []byte("a")}), *mustKeys(t, NewKeys(noon))); strings.Contains(text, secret) {
		t.Errorf("printed: %s", text)
	}
}

// FuzzFind: whatever is shown, nothing but what was signed is found.
func FuzzFind(f *testing.F) {
	keys := mustKeys(f, NewKeys(noon))
	s := New(Options{Issuer: issuer, Keys: func() *Keys { return keys }, MaxPerUser: func() int { return 1 }, Keep: func(*Live) {}, Now: func() time.Time { return noon }})
	session := typical("uid-1", noon)
	_, good, err := s.Begin(session, Details{})
	if err != nil {
		f.Fatal(err)
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", good, none, good[:10], strings.ToUpper(good), "..", "e30.e30.e30"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		l, err := s.Find(token)
		if (err == nil) != (token == good) {
			t.Errorf("%q: %v, %v", token, l, err)
		}
	})
}

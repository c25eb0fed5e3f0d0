package proof

import (
	"encoding/base64"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
)

func decode(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVerify(t *testing.T) {
	time0 := newClock()
	v := NewVerifier(time0.Now)
	d, other := newES256(), newES256()
	restarted := NewVerifier(time0.Now)
	for name, tc := range map[string]struct {
		prove func(nonce string) string
		login func(*Login)
		want  error
	}{
		"good":                     {want: nil},
		"another spelling of name": {login: func(l *Login) { l.User = "ＴＡＲＯ" }},
		"another relay":            {prove: func(n string) string { return d.prove(payload(n).with("aud", "asp2.example.com")) }, want: ErrAudience},
		"a challenge for another relay": {prove: func(string) string {
			nonce, _ := v.Challenge("asp2.example.com")
			return d.prove(payload(nonce))
		}, want: ErrChallenge},
		"the relay has another host now": {login: func(l *Login) { l.Audience = "new.example.com" }, want: ErrChallenge},
		"another user":                   {prove: func(n string) string { return d.prove(payload(n).with("sub", "hanako")) }, want: ErrUser},
		"another viewer":                 {prove: func(n string) string { return d.prove(payload(n).with("viewer", "pc")) }, want: ErrViewer},
		"another's key": {prove: func(n string) string {
			return other.compact(d.header(), payload(n)) // its JWK was copied, its private key was not
		}, want: ErrSignature},
		"a payload that was changed": {prove: func(n string) string {
			parts := strings.Split(d.prove(payload("another-nonce")), ".")
			return parts[0] + "." + encodeJSON(payload(n)) + "." + parts[2]
		}, want: ErrSignature},
		"a header that was changed": {prove: func(n string) string {
			parts := strings.Split(d.prove(payload(n)), ".")
			return encodeJSON(d.header().with("jwk", d.jwk.with("kid", "another"))) + "." + parts[1] + "." + parts[2]
		}, want: ErrSignature},
		"no signature": {prove: func(n string) string {
			signed := d.prove(payload(n))
			return signed[:strings.LastIndex(signed, ".")+1]
		}, want: ErrSignature},
		"another process's challenge": {prove: func(string) string {
			nonce, _ := restarted.Challenge(host)
			return d.prove(payload(nonce))
		}, want: ErrChallenge},
		"an invented nonce":   {prove: func(string) string { return d.prove(payload("invented")) }, want: ErrChallenge},
		"a nonce cut short":   {prove: func(n string) string { return d.prove(payload(n[:len(n)-1])) }, want: ErrChallenge},
		"a nonce made longer": {prove: func(n string) string { return d.prove(payload(n + "AAAA")) }, want: ErrChallenge},
		"a nonce that lives longer": {prove: func(n string) string {
			raw := decode(t, n)
			raw[randomBytes+expireBytes-6]++
			return d.prove(payload(encode(raw)))
		}, want: ErrChallenge},
	} {
		t.Run(name, func(t *testing.T) {
			nonce, expire := v.Challenge(host)
			if got := expire.Sub(time0.Now()); got != Lifetime {
				t.Errorf("good for %v", got)
			}
			compact, l := d.prove(payload(nonce)), phoneLogin
			if tc.prove != nil {
				compact = tc.prove(nonce)
			}
			if tc.login != nil {
				tc.login(&l)
			}
			got, err := v.Verify(mustParse(t, compact), l)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if (err == nil) != (got.Kind() == fingerprint.Proof) {
				t.Errorf("kind %q with the error %v", got.Kind(), err)
			}
		})
	}
}

// TestOneKeyIsOneDevice whatever the algorithm that it signs with and the members around the key.
func TestOneKeyIsOneDevice(t *testing.T) {
	ring, err := fingerprint.ParseKeyring(fingerprint.NewSecretData())
	if err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(nil)
	digest := func(d device) decision.Digest {
		nonce, _ := v.Challenge(host)
		f, err := v.Verify(mustParse(t, d.prove(payload(nonce))), phoneLogin)
		if err != nil {
			t.Fatal(err)
		}
		return ring.Device(f).Digests[0]
	}
	ps, rs := newRSA("PS256", 2048), newRSA("RS256", 2048)
	named := ps
	named.jwk = named.jwk.with("kid", "phone").with("use", "sig")
	if digest(ps) != digest(rs) || digest(ps) != digest(named) {
		t.Error("one key has several digests")
	}
	if digest(ps) == digest(newES256()) {
		t.Error("two keys have one digest")
	}
}

func TestChallengeIsGoodOnceAndShortly(t *testing.T) {
	d := newES256()
	for name, tc := range map[string]struct {
		before, between time.Duration
		first, second   error
	}{
		"at once":                        {0, 0, nil, ErrUsed},
		"again just before it expires":   {0, Lifetime - 1, nil, ErrUsed},
		"again when it has expired":      {0, Lifetime, nil, ErrExpired},
		"late, and again":                {Lifetime - 1, 0, nil, ErrUsed},
		"too late":                       {Lifetime, 0, ErrExpired, ErrExpired},
		"much too late":                  {100 * Lifetime, 0, ErrExpired, ErrExpired},
		"late, and again when forgotten": {Lifetime - 1, 3 * Lifetime, nil, ErrExpired},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			v := NewVerifier(c.Now)
			nonce, _ := v.Challenge(host)
			p := mustParse(t, d.prove(payload(nonce)))
			c.pass(tc.before)
			if err := v.Redeem(p, phoneLogin); !errors.Is(err, tc.first) {
				t.Errorf("first: %v, want %v", err, tc.first)
			}
			c.pass(tc.between)
			if err := v.Redeem(p, phoneLogin); !errors.Is(err, tc.second) {
				t.Errorf("second: %v, want %v", err, tc.second)
			}
		})
	}
}

// TestUsedChallengesAreNotForgottenEarly uses challenges at every time, and replays each until it expires.
func TestUsedChallengesAreNotForgottenEarly(t *testing.T) {
	const step = Lifetime / 7
	type used struct {
		proof  *Proof
		expire time.Time
	}
	c, d := newClock(), newEdDSA()
	v := NewVerifier(c.Now)
	var all []used
	for i := range 60 {
		nonce, expire := v.Challenge(host)
		p := mustParse(t, d.prove(payload(nonce)))
		if err := v.Redeem(p, phoneLogin); err != nil {
			t.Fatal(err)
		}
		all = append(all, used{p, expire})
		for _, u := range all {
			want := ErrUsed
			if !c.Now().Before(u.expire) {
				want = ErrExpired
			}
			if err := v.Redeem(u.proof, phoneLogin); !errors.Is(err, want) {
				t.Fatalf("step %d: %v, want %v", i, err, want)
			}
		}
		c.pass(step)
	}
	if n := len(v.challenges.used) + len(v.challenges.older); n > 2*7+1 {
		t.Errorf("%d are remembered", n)
	}
}

func TestOfManyAtOnceOneRedeems(t *testing.T) {
	v, d := NewVerifier(nil), newEdDSA()
	nonce, _ := v.Challenge(host)
	compact := d.prove(payload(nonce))
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			p, err := Parse(compact)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := v.Verify(p, phoneLogin); err == nil && v.Redeem(p, phoneLogin) == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d redeemed one challenge", won.Load())
	}
}

// TestSignaturesWaitForASlot: a flood of proofs leaves a core to others.
func TestSignaturesWaitForASlot(t *testing.T) {
	d := newEdDSA()
	synctest.Test(t, func(t *testing.T) {
		v := NewVerifier(nil)
		nonce, _ := v.Challenge(host)
		p := mustParse(t, d.prove(payload(nonce)))
		for range cap(v.slots) {
			v.slots <- struct{}{}
		}
		verified := false
		go func() {
			_, err := v.Verify(p, phoneLogin)
			verified = err == nil
		}()
		synctest.Wait()
		if verified {
			t.Error("a signature was checked beyond the slots")
		}
		<-v.slots
		synctest.Wait()
		if !verified || len(v.slots) != cap(v.slots)-1 {
			t.Errorf("verified: %v, with %d of %d slots taken", verified, len(v.slots), cap(v.slots))
		}
	})
}

// TestFullMemoryFailsClosed, until what is in it has expired.
func TestFullMemoryFailsClosed(t *testing.T) {
	c := newClock()
	s := newChallenges(c.Now)
	first, _ := s.make(host)
	if err := s.use(first, host); err != nil {
		t.Fatal(err)
	}
	for len(s.used) < maxUsed {
		var id challengeID
		n := len(s.used)
		id[0], id[1], id[2] = byte(n), byte(n>>8), byte(n>>16)
		s.used[id] = struct{}{}
	}
	nonce, _ := s.make(host)
	if err := s.use(nonce, host); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want %v", err, ErrFull)
	}
	if err := s.use(first, host); !errors.Is(err, ErrUsed) {
		t.Errorf("error %v, want %v", err, ErrUsed)
	}
	c.pass(Lifetime)
	nonce, _ = s.make(host)
	if err := s.use(nonce, host); err != nil {
		t.Errorf("a lifetime later: %v", err)
	}
}

// TestFloodOfChallengesTakesNoMemory makes far more than could be held.
func TestFloodOfChallengesTakesNoMemory(t *testing.T) {
	v := NewVerifier(nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 200000 {
		v.Challenge(host)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if n := len(v.challenges.used); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}

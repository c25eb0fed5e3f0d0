package password

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// computed is what one hash cost, and of what length of input.
type computed struct {
	Algorithm Algorithm
	Cost      argonCost
	Memory    int64
	SaltLen   int
	KeyLen    int
}

// Whatever is wrong, exactly one hash is computed; and where there is none to check against, it is one of
// the very cost of a hash that New makes.
func TestVerifyComputesOneHash(t *testing.T) {
	made, err := New([]byte(horse))
	if err != nil {
		t.Fatal(err)
	}
	bcryptOf72 := mustParse(t, vectors["bcrypt 2b, crypt_blowfish, 72 bytes"].encoded)
	sha512 := mustParse(t, vectors["sha512-crypt, openssl passwd -6"].encoded)
	standard := computed{Argon2id, defaultCost, 19 << 20, 16, 32}
	viaBcrypt := computed{Algorithm: Bcrypt, Memory: bcryptMemory}
	viaSHA512 := computed{Algorithm: SHA512Crypt, Memory: sha512Memory}
	for name, tc := range map[string]struct {
		hash     Hash
		password string
		want     bool
		wantWork computed
	}{
		"right":                        {made, horse, true, standard},
		"wrong":                        {made, "Correct horse battery staple", false, standard},
		"unknown user":                 {Hash{}, horse, false, standard},
		"unknown user, no password":    {Hash{}, "", false, standard},
		"unknown user, too long":       {Hash{}, strings.Repeat("x", 1<<16), false, standard},
		"empty":                        {made, "", false, standard},
		"not UTF-8":                    {made, horse + "\xff", false, standard},
		"NUL":                          {made, horse + "\x00", false, standard},
		"not in the profile":           {made, horse + "\u200b", false, standard},
		"257 bytes":                    {made, strings.Repeat("x", 257), false, standard},
		"a mebibyte":                   {made, strings.Repeat("x", 1<<20), false, standard},
		"stand-in sent as a password":  {made, string(standIn), false, standard},
		"bcrypt, 72 bytes":             {bcryptOf72, strings.Repeat("a", 72), true, viaBcrypt},
		"bcrypt, 73 bytes":             {bcryptOf72, strings.Repeat("a", 73), false, viaBcrypt},
		"bcrypt, 256 bytes":            {bcryptOf72, strings.Repeat("a", 256), false, viaBcrypt},
		"bcrypt, a mebibyte":           {bcryptOf72, strings.Repeat("a", 1<<20), false, viaBcrypt},
		"bcrypt, 72 bytes and an end":  {bcryptOf72, strings.Repeat("a", 72) + "\x00", false, viaBcrypt},
		"bcrypt, decomposed, too long": {bcryptOf72, strings.Repeat("a", 71) + "e\u0301", false, viaBcrypt},
		"sha512-crypt, right":          {sha512, horse, true, viaSHA512},
		"sha512-crypt, wrong":          {sha512, "x", false, viaSHA512},
		"sha512-crypt, empty":          {sha512, "", false, viaSHA512},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier(Options{Slots: 1})
			var work []computed
			v.match = func(s scheme, input []byte, mem *arena) bool {
				c := computed{Algorithm: s.algorithm(), Memory: s.memoryBytes()}
				if a, ok := s.(*argon2idHash); ok {
					c.Cost, c.SaltLen, c.KeyLen = a.argonCost, len(a.salt), len(a.key)
				}
				if len(input) == 0 || len(input) > maxPlain {
					t.Errorf("input of %d bytes", len(input))
				}
				work = append(work, c)
				return s.match(input, mem)
			}
			got, err := v.Verify(context.Background(), tc.hash, []byte(tc.password), Ordinary)
			if err != nil || got != tc.want {
				t.Errorf("Verify = %v, %v, want %v", got, err, tc.want)
			}
			if diff := cmp.Diff([]computed{tc.wantWork}, work, cmp.AllowUnexported(argonCost{})); diff != "" {
				t.Errorf("work (-want +got):\n%s", diff)
			}
		})
	}
}

// The answer to an unknown user must not depend on what is computed for it.
func TestVerifyOfNothingNeverSucceeds(t *testing.T) {
	v := NewVerifier(Options{Slots: 1})
	v.match = func(scheme, []byte, *arena) bool { return true }
	h := mustParse(t, vectors["sha512-crypt, openssl passwd -6"].encoded)
	for name, tc := range map[string]struct {
		hash     Hash
		password string
		want     bool
	}{
		"known user":            {h, horse, true},
		"unknown user":          {Hash{}, horse, false},
		"no possible password":  {h, "", false},
		"too long for any":      {h, strings.Repeat("x", 300), false},
		"the stand-in, unknown": {Hash{}, string(standIn), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := v.Verify(context.Background(), tc.hash, []byte(tc.password), Preferred); err != nil || got != tc.want {
				t.Errorf("Verify = %v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

func TestDecoysDiffer(t *testing.T) {
	if NewVerifier(Options{}).decoy.Equal(NewVerifier(Options{}).decoy) {
		t.Error("two verifiers have one decoy")
	}
}

func TestVerifyLeavesPasswordAlone(t *testing.T) {
	v := NewVerifier(Options{Slots: 1})
	v.match = func(scheme, []byte, *arena) bool { return false }
	password := []byte("pa\u0308ssword\u3000")
	before := bytes.Clone(password)
	if _, err := v.Verify(context.Background(), Hash{}, password, Ordinary); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(password, before) {
		t.Error("the password was changed in place")
	}
}

func TestOptionsDefaults(t *testing.T) {
	cores := max(1, runtime.GOMAXPROCS(0)-1)
	for name, tc := range map[string]struct{ options, want Options }{
		"none given":  {Options{}, Options{Slots: cores, Queue: 16 * cores, PreferredQueue: 32 * cores}},
		"slots given": {Options{Slots: 3}, Options{Slots: 3, Queue: 48, PreferredQueue: 96}},
		"no queues":   {Options{Slots: 1, Queue: -1, PreferredQueue: -1}, Options{Slots: 1, Queue: -1, PreferredQueue: -1}},
		"all given":   {Options{Slots: 2, Queue: 5, PreferredQueue: 7}, Options{Slots: 2, Queue: 5, PreferredQueue: 7}},
		"senseless":   {Options{Slots: -4}, Options{Slots: cores, Queue: 16 * cores, PreferredQueue: 32 * cores}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.options.withDefaults()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A thousand logins at once: the hashes that run take their memory and no more, whoever waits takes next
// to none, and the rest is refused.
func TestFloodStaysWithinMemory(t *testing.T) {
	const logins = 1000
	for name, slots := range map[string]int{"one slot": 1, "two slots": 2} {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier(Options{Slots: slots, Queue: 24, PreferredQueue: -1})
			heap := newHeap(t)
			v.match = func(s scheme, input []byte, mem *arena) bool {
				defer heap.sample()
				return s.match(input, mem)
			}
			var busy, done sync.Map
			var wg sync.WaitGroup
			for i := range logins {
				wg.Go(func() {
					if _, err := v.Verify(context.Background(), Hash{}, []byte(horse), Ordinary); errors.Is(err, ErrBusy) {
						busy.Store(i, true)
					} else if err == nil {
						done.Store(i, true)
					}
				})
			}
			wg.Wait()
			refused, answered := size(&busy), size(&done)
			if refused+answered != logins || answered < 24 {
				t.Errorf("%d refused and %d answered of %d", refused, answered, logins)
			}
			limit := int64(slots) * (19 << 20) * 11 / 10
			t.Logf("%d hashes, heap grew by %.1f MiB, at most %.1f allowed", answered, mib(heap.peak()), mib(limit))
			if heap.peak() > limit {
				t.Errorf("heap grew by %.1f MiB, want at most %.1f", mib(heap.peak()), mib(limit))
			}
		})
	}
}

// Memory for rare large hashes goes back when it is idle.
func TestIdleMemoryIsCollected(t *testing.T) {
	v := NewVerifier(Options{Slots: 1})
	heap := newHeap(t)
	if _, err := v.Verify(context.Background(), Hash{}, []byte(horse), Ordinary); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.GC()
	heap.sample()
	if grown := heap.peak(); grown > 1<<20 {
		t.Errorf("%.1f MiB are kept while nobody logs in", mib(grown))
	}
	if _, err := v.Verify(context.Background(), Hash{}, []byte(horse), Ordinary); err != nil {
		t.Fatal(err)
	}
	if n := len(v.arenas.idle); n != 1 {
		t.Errorf("%d arenas for one slot", n)
	}
}

func size(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

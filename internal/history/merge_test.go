package history

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
)

var began = time.Date(2026, 11, 15, 10, 17, 0, 0, time.UTC)

func idAt(t time.Time) ID {
	id := ulid.ULID{6: 1}
	_ = id.SetTime(ulid.Timestamp(t))
	return id
}

func login() Record {
	return Record{
		ID: idAt(began), UserName: "Taro", User: "taro", Program: "viewer", Viewer: "pc", Slot: "pc", Result: Success,
		Expire: At(began.Add(8 * time.Hour)), SourceAddress: "192.0.2.7", Listener: "login", Sidecar: "asp1-0",
	}
}

func after(d time.Duration) Millis { return At(began.Add(d)) }

func TestMergeIsOneTruth(t *testing.T) {
	tests := map[string]struct {
		change   func(a, b *Record)
		wantEnd  End
		wantTime Millis // Finish
	}{
		"a logout beats a sidecar that noticed later": {
			func(a, b *Record) {
				a.End, a.EndTime = Logout, after(time.Minute)
				b.End, b.EndTime = Refused, after(2*time.Minute)
			}, Logout, after(time.Minute),
		},
		"of two logouts the first counts": {
			func(a, b *Record) {
				a.End, a.EndTime = Logout, after(2*time.Minute)
				b.End, b.EndTime = Stopped, after(time.Minute)
			}, Stopped, after(time.Minute),
		},
		"of two refusals the last counts": {
			func(a, b *Record) {
				a.End, a.EndTime = Refused, after(time.Minute)
				b.End, b.EndTime = Replaced, after(3*time.Minute)
			}, Replaced, after(3 * time.Minute),
		},
		"a sign of life after one sidecar's end counts": {
			func(a, b *Record) {
				a.End, a.EndTime = Replaced, after(time.Minute)
				b.LastSeen = after(5 * time.Minute)
			}, Replaced, after(5 * time.Minute),
		},
		"no sign of life outlasts a logout": {
			func(a, b *Record) {
				a.End, a.EndTime = Logout, after(time.Minute)
				b.LastSeen = after(5 * time.Minute)
			}, Logout, after(time.Minute),
		},
		"an end that is told late replaces a lost one": {
			func(a, b *Record) {
				a.End, a.EndTime = Lost, after(time.Minute)
				b.End, b.EndTime = Stopped, after(7*time.Minute)
			}, Stopped, after(7 * time.Minute),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := login(), login()
			tc.change(&a, &b)
			got := Merge(a, b)
			if got.End != tc.wantEnd || got.Finish() != tc.wantTime {
				t.Errorf("got %s at %s, want %s at %s", got.End, got.Finish().Time(), tc.wantEnd, tc.wantTime.Time())
			}
			if diff := cmp.Diff(got, Merge(b, a)); diff != "" {
				t.Errorf("the order matters (-a,b +b,a):\n%s", diff)
			}
		})
	}
}

func TestMergeKeepsTheLogin(t *testing.T) {
	seen := Record{ID: idAt(began), Partial: true, User: "taro", Result: Success, End: Logout, EndTime: after(time.Minute), Expire: after(8 * time.Hour)}
	want := login()
	want.End, want.EndTime = Logout, after(time.Minute)
	if diff := cmp.Diff(want, Merge(seen, login())); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
}

// TestMergeKeepsWhatWasTold has somebody tell anew of an attempt, and differently.
func TestMergeKeepsWhatWasTold(t *testing.T) {
	partial := Record{ID: idAt(began), Partial: true, Result: Success, Expire: after(8 * time.Hour), LastSeen: after(time.Hour)}
	other := login()
	other.UserName, other.End, other.EndTime = "Zzz", Logout, after(time.Minute)
	for name, tc := range map[string]struct{ kept, told Record }{
		"a login for a denial":        {failed(), login()},
		"a denial for a login":        {login(), failed()},
		"a session for a denial":      {failed(), partial},
		"a denial for a session":      {partial, failed()},
		"another login, and its end":  {login(), other},
		"a login of before, and less": {other, login()},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.kept, Merge(tc.kept, tc.told)); diff != "" || !Contradict(&tc.kept, &tc.told) {
				t.Errorf("merged (-kept +got):\n%s", diff)
			}
		})
	}
}

// TestMergeIsASemilattice tries what the stores rely on, with tellings of one attempt that contradict each other in
// every field in which they may.
func TestMergeIsASemilattice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		a, b, c := anyRecord(random), anyRecord(random), anyRecord(random)
		if diff := cmp.Diff(Merge(a, b), Merge(b, a)); diff != "" {
			t.Fatalf("not commutative:\n%s", diff)
		}
		if diff := cmp.Diff(Merge(Merge(a, b), c), Merge(a, Merge(b, c))); diff != "" {
			t.Fatalf("not associative:\n%s", diff)
		}
		if diff := cmp.Diff(a, Merge(a, a)); diff != "" {
			t.Fatalf("not idempotent:\n%s", diff)
		}
		if m := Merge(a, b); cmp.Diff(m, Merge(m, b)) != "" {
			t.Fatalf("telling %+v again changes %+v", b, m)
		}
	}
}

// TestNoTimeIsNegative has sidecars whose clocks were set back tell of ends and signs of life before the beginning: no
// connection ends before it began, or lasts for less than no time.
func TestNoTimeIsNegative(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		r := anyRecord(random)
		for range random.IntN(3) {
			told := anyRecord(random)
			told.LastSeen -= Millis(random.Int64N(int64(240 * time.Hour / time.Millisecond)))
			if told.End != EndNone {
				told.EndTime -= Millis(random.Int64N(int64(240 * time.Hour / time.Millisecond)))
			}
			r = Merge(r, told)
		}
		if r.Connected() < 0 || r.End != EndNone && r.Finish() < r.Start() {
			t.Fatalf("it lasts for %s and ends at %s: %+v", r.Connected(), r.Finish().Time(), r)
		}
	}
}

func anyRecord(random *rand.Rand) Record {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	r := login()
	if r.Partial = random.IntN(2) == 0; r.Partial {
		r.UserName, r.User, r.Sidecar = pick("", "Taro"), pick("", "taro", "jiro"), pick("a", "b")
		r.Enrolled = random.IntN(2) == 0
	}
	r.End = End(pick("", "Lost", "Expired", "Replaced", "Refused", "Stopped", "Logout"))
	if r.End != EndNone {
		r.EndTime = after(time.Duration(random.IntN(4)) * time.Minute)
	}
	r.LastSeen = after(time.Duration(random.IntN(4)) * time.Minute)
	r.SentBytes = uint64(random.IntN(3)) //nolint:gosec // small
	return r
}

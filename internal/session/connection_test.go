package session

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEndByID: whether or not the session was seen here, it is ended once, here and elsewhere.
func TestEndByID(t *testing.T) {
	s := newStage(t)
	l, token := s.begin("uid-taro")
	if !s.EndID("uid-taro", l.ID, Stopped) || !l.Ended() || s.Count() != 0 {
		t.Errorf("a live session: ended %t, %d live", l.Ended(), s.Count())
	}
	elsewhere := newStage(t)
	elsewhere.keys = s.keys
	if !elsewhere.EndID("uid-taro", l.ID, Stopped) {
		t.Error("a session of another sidecar was not ended")
	}
	if found, err := elsewhere.Find(token); err != nil || !found.Ended() {
		t.Errorf("its token finds %+v, %v; want it ended", found, err)
	}
	for name, stage := range map[string]*stage{"here": s, "elsewhere": elsewhere} {
		if stage.EndID("uid-taro", l.ID, Stopped) {
			t.Errorf("%s it was ended twice", name)
		}
		if diff := cmp.Diff([]string{l.ID}, stage.kept); diff != "" {
			t.Errorf("made known %s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff([]string{l.ID + " Stopped"}, s.ended); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
	for _, id := range []string{"", "x", strings.ToLower(l.ID), NewID(noon.Add(time.Hour)), l.ID + "0"} {
		if s.EndID("uid-taro", id, Stopped) {
			t.Errorf("%q was ended", id)
		}
	}
}

func TestTraffic(t *testing.T) {
	s := newStage(t)
	l, _ := s.begin("uid-taro")
	want := Traffic{Received: 1 << 40, Sent: 2}
	l.NoteTraffic(want)
	if got := l.Traffic(); got != want {
		t.Errorf("traffic %+v, want %+v", got, want)
	}
}

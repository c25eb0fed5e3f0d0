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
	if diff := cmp.Diff([]string{l.ID + " Stopped"}, elsewhere.ended); diff != "" {
		t.Errorf("observed elsewhere (-want +got):\n%s", diff)
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

// TestTags: one that was made under an older key holds as long as the key is there, and no other does.
func TestTags(t *testing.T) {
	s := newStage(t)
	l, token := s.begin("uid-taro")
	tag := s.Tag("uid-taro", l.ID, "vpn")
	if !s.Tagged("uid-taro", l.ID, "vpn", tag) {
		t.Error("a tag is not known")
	}
	key, mac, _ := strings.Cut(tag, ".")
	for name, ok := range map[string]bool{
		"user":         s.Tagged("uid-hanako", l.ID, "vpn", tag),
		"session":      s.Tagged("uid-taro", NewID(noon), "vpn", tag),
		"gateway":      s.Tagged("uid-taro", l.ID, "vpn2", tag),
		"empty":        s.Tagged("uid-taro", l.ID, "vpn", ""),
		"of no key":    s.Tagged("uid-taro", l.ID, "vpn", "x."+mac),
		"without mac":  s.Tagged("uid-taro", l.ID, "vpn", key+"."),
		"token":        s.Tagged("uid-taro", l.ID, "vpn", token),
		"shifted ends": s.Tagged("uid-taro\x00"+l.ID, "vpn", "", tag),
	} {
		if ok {
			t.Errorf("%s: taken", name)
		}
	}
	old := *s.keys.byID[s.keys.current]
	data := NewKeys(noon)
	data[keyPrefix+s.keys.current] = []byte(old)
	s.keys = mustKeys(t, data)
	if !s.Tagged("uid-taro", l.ID, "vpn", tag) {
		t.Error("a tag is not known after a new key")
	}
	s.keys = nil
	if s.Tagged("uid-taro", l.ID, "vpn", tag) || s.Tag("uid-taro", l.ID, "vpn") != "" {
		t.Error("there are tags without keys")
	}
}

package recorder

import (
	"net/http"
	"strings"
	"testing"
)

// TestSpoolOfAnotherServer is given by mistake: its records are not sent, ours are, and the log says what to do.
func TestSpoolOfAnotherServer(t *testing.T) {
	s, o := newServer(t), spoolIn(t)
	o.Owner = "relays/asp2"
	s.answers(status(http.StatusServiceUnavailable))
	theirs := run(t, s.client(), o)
	theirs.put(100)
	theirs.written()
	theirs.stop()

	s.answers(nil)
	o.Owner = "relays/asp1"
	r := run(t, s.client(), o)
	r.next = 100
	r.put(700)
	s.arrive(want(100, 800))
	r.settled()
	r.stop()
	if log := r.log(); r.State().Lost != 0 || !strings.Contains(log, "give each a directory of its own") {
		t.Errorf("%d lost; the log does not say why:\n%s", r.State().Lost, log)
	}
	o.Owner = "relays/asp2"
	run(t, s.client(), o)
	s.arrive(append(want(100, 800), want(0, 100)...))
}

// Package witness makes records of what authn and the sessions tell.
//
// It owns which facts of an attempt and of a session are recorded, and when a live session is told of again. It must
// not block who tells, and must not record a secret: no password, no token, no raw fingerprint, and no login name
// that authn does not hand over to be kept.
package witness

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/session"
)

// Recorder keeps records. Its methods must not block.
type Recorder interface {
	Record(record *history.Record)
	// Busy says that what can be told later should be.
	Busy() bool
}

// Options of a Witness. All are required but Now.
type Options struct {
	Recorder Recorder
	// Sidecar names this sidecar in its records.
	Sidecar string
	// NameOf is the RelayUser's name by its UID, empty when it is gone.
	NameOf func(uid string) string
	// Interval is how often a session that lives is told of.
	Interval time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// shares are the parts of the live sessions that take turns in being told of, so that no moment has to bear all.
const shares = 64

// Witness is safe for concurrent use. It observes sessions (session.Observer) and attempts (authn.History).
type Witness struct {
	Options
	live [shares]share
}

type share struct {
	mu   sync.Mutex
	told map[*session.Live]told
}

// told is what was last recorded of a session.
type told struct {
	seen    history.Millis
	traffic session.Traffic
}

// New makes a Witness.
func New(o Options) *Witness {
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &Witness{Options: o}
	for i := range w.live {
		w.live[i].told = map[*session.Live]told{}
	}
	return w
}

// Attempted records an attempt.
func (w *Witness) Attempted(e authn.Event) {
	a, r := e.Attempt, &e.Result
	record := history.Record{
		UserName: line(e.UserName, maxUserName), Program: a.Program.String(), Viewer: viewerNames[a.Viewer], Slot: r.Slot.String(),
		MACAddress: a.MAC.String(), Destination: line(a.Destination, maxName), SourceViewer: line(a.SourceViewer, maxName),
		Listener: a.Listener, Sidecar: line(w.Sidecar, maxIdentity),
	}
	if a.Source.IsValid() {
		record.SourceAddress = a.Source.String()
	}
	if e.Account != nil {
		record.User = e.Account.Name
	}
	if len(e.Device.Digests) > 0 {
		record.DeviceDigest = string(e.Device.Digests[0])
	}
	id := a.ID
	if r.Allowed() && r.Session != nil {
		id = r.Session.ID
		record.Result, record.CorrelationID, record.Enrolled = history.Success, a.ID, r.Enrolled
		record.Expire = max(history.At(r.ExpireTime), history.At(r.Session.Begin))
		record.LastSeen = history.At(r.Session.Begin)
	} else {
		record.Result, record.Reason = history.Failure, r.Reason.String()
	}
	w.record(id, &record)
}

// record gives a record its id. What bears none of ours was made by nobody who should.
func (w *Witness) record(id string, record *history.Record) {
	parsed, err := ulid.ParseStrict(id)
	if err != nil {
		return
	}
	record.ID = parsed
	w.Recorder.Record(record)
}

// Began takes note of a session. Its login is recorded as an attempt, by the sidecar that it was at.
func (w *Witness) Began(l *session.Live) {
	first := told{}
	if l.Details.User != "" {
		first.seen = history.At(l.LastSeen())
	}
	s := w.shareOf(l)
	s.mu.Lock()
	s.told[l] = first
	s.mu.Unlock()
}

// Ended records how a session ended.
func (w *Witness) Ended(l *session.Live, cause session.Cause, at time.Time) {
	s := w.shareOf(l)
	s.mu.Lock()
	delete(s.told, l)
	s.mu.Unlock()
	record := w.telling(l)
	record.End = ends[cause]
	record.EndTime = min(max(history.At(at), history.At(l.Begin)), record.Expire)
	if cause == session.Expired {
		record.EndTime = record.Expire
	}
	if l.Expire.IsZero() { // it was never seen here; until when it could last is in its login's record
		record.EndTime = min(max(history.At(at), history.At(l.Begin)), history.At(l.Begin.Add(session.MaxTTL)))
	}
	w.record(l.ID, &record)
}

// The ends, by the causes of sessions.
var ends = map[session.Cause]history.End{
	session.Logout: history.Logout, session.Replaced: history.Replaced, session.Expired: history.Expired,
	session.Refused: history.Refused, session.Stopped: history.Stopped,
}

// telling is what can be told of a session at any time. It is partial: the login was told as an attempt.
func (w *Witness) telling(l *session.Live) history.Record {
	begin := history.At(l.Begin)
	r := history.Record{
		Partial: true, User: w.NameOf(l.UID), Program: l.Program.String(), Viewer: viewerNames[l.Viewer], Slot: l.Slot().String(),
		Result: history.Success, Expire: max(history.At(l.Expire), begin), MACAddress: l.MAC.String(),
	}
	r.LastSeen = history.At(l.LastSeen())
	if !l.Expire.IsZero() {
		r.LastSeen = min(r.LastSeen, r.Expire) // clocks are set
	}
	traffic := l.Traffic()
	r.ReceivedBytes, r.SentBytes = traffic.Received, traffic.Sent
	if len(l.Device.Digests) > 0 {
		r.DeviceDigest = string(l.Device.Digests[0])
	}
	if l.Details.User != "" {
		r.User, r.Listener, r.Sidecar = l.Details.User, l.Details.Listener, line(w.Sidecar, maxIdentity)
	}
	return r
}

// Run tells of the sessions that live, a share of them at a time, until ctx ends.
func (w *Witness) Run(ctx context.Context) {
	ticker := time.NewTicker(max(w.Interval/shares, time.Millisecond))
	defer ticker.Stop()
	for next := 0; ; next = (next + 1) % shares {
		select {
		case <-ticker.C:
			if !w.Recorder.Busy() { // a later telling has all that this one would have
				w.tell(&w.live[next])
			}
		case <-ctx.Done():
			return
		}
	}
}

// Rest tells of all that live a last time, because this sidecar stops.
func (w *Witness) Rest() {
	for i := range w.live {
		w.tell(&w.live[i])
	}
}

// tell records the sessions of which there is news.
func (w *Witness) tell(s *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l, before := range s.told {
		record := w.telling(l)
		now := told{record.LastSeen, session.Traffic{Received: record.ReceivedBytes, Sent: record.SentBytes}}
		if now == before {
			continue
		}
		s.told[l] = now
		w.record(l.ID, &record)
	}
}

// shareOf goes by the random part of the id.
func (w *Witness) shareOf(l *session.Live) *share {
	var sum int
	for i := max(0, len(l.ID)-4); i < len(l.ID); i++ {
		sum = sum*31 + int(l.ID[i])
	}
	return &w.live[sum%shares]
}

var viewerNames = map[decision.Viewer]string{
	decision.ViewerPC: "pc", decision.ViewerMobile: "mobile", decision.ViewerUnbound: "unbound",
}

// What the history takes of each text, in bytes.
const (
	maxUserName = 512
	maxName     = 256
	maxIdentity = 253
)

// line is a text as the history takes it: one line, without what could move a terminal's cursor.
func line(text string, limit int) string {
	if len(text) <= limit && !strings.ContainsFunc(text, unfit) {
		return text
	}
	text = strings.Map(func(c rune) rune {
		if unfit(c) {
			return '?'
		}
		return c
	}, text)
	for len(text) > limit {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

func unfit(c rune) bool {
	return c < ' ' || 0x7f <= c && c < 0xa0 || c == 0x2028 || c == 0x2029 || c == utf8.RuneError
}

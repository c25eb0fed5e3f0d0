package conformance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/tegata-dev/tegata/internal/history"
)

// model is what a store must come to.
type model struct {
	records map[modelKey]history.Record
}

type modelKey struct {
	namespace string
	id        history.ID
}

func newModel(tellings ...history.Record) *model {
	m := &model{records: map[modelKey]history.Record{}}
	for _, r := range tellings {
		key := modelKey{r.Namespace, r.ID}
		if kept, ok := m.records[key]; ok {
			r = history.Merge(kept, r)
		}
		m.records[key] = r
	}
	return m
}

func (m *model) drop(of func(*history.Record) bool) int {
	before := len(m.records)
	for key, r := range m.records {
		if of(&r) {
			delete(m.records, key)
		}
	}
	return before - len(m.records)
}

func (m *model) matching(f history.Filter) []history.Record {
	var records []history.Record
	for _, r := range m.records {
		if f.Matches(&r) {
			records = append(records, r)
		}
	}
	return newestFirst(records)
}

// usages is what the records come to, those that are nobody's left out.
func (m *model) usages(q history.UsageQuery) []history.Usage {
	sums := map[history.UsageKey]history.Usage{}
	for _, r := range m.matching(history.Filter{Namespace: q.Namespace, Server: q.Server, User: q.User}) {
		if r.User == "" {
			continue
		}
		key := history.UsageKey{Namespace: r.Namespace, User: r.User, Server: r.Server}
		u := sums[key]
		if u.Attempts == 0 {
			u = history.Usage{Namespace: r.Namespace, Server: r.Server, User: r.User, First: r.Start(), Last: r.Start()}
		}
		u.Attempts++
		if r.Result == history.Failure {
			u.Failures++
		}
		u.Connected = history.AddTime(u.Connected, r.Connected())
		u.First, u.Last = min(u.First, r.Start()), max(u.Last, r.Start())
		sums[key] = u
	}
	var all []history.Usage
	for _, u := range sums {
		all = append(all, u)
	}
	slices.SortFunc(all, compareUsages)
	return all
}

// began is the start of the first record of most tests.
var began = time.Date(2026, 10, 15, 10, 17, 0, 0, time.UTC)

// maker makes records, the same ones in every run.
type maker struct{ random *rand.Rand }

func newMaker() *maker { return &maker{rand.New(rand.NewPCG(1, 2))} }

func (m *maker) id(at time.Time) history.ID {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(at)) // only a year past 10000 is refused
	for i := 6; i < len(id); i++ {
		id[i] = byte(m.random.Uint32())
	}
	return id
}

func (m *maker) pick(of ...string) string { return of[m.random.IntN(len(of))] }

// success is a login as it is told when it was admitted.
func (m *maker) success(at time.Time, user string) history.Record {
	device := m.random.IntN(2)
	return history.Record{
		ID: m.id(at), Namespace: "relays", Server: "asp1", UserName: "The " + user, User: user,
		Program: m.pick("viewer", "client"), Viewer: m.pick("pc", "mobile", "unbound"), Slot: m.pick("pc", "mobile", ""),
		Result: history.Success, Enrolled: m.random.IntN(4) == 0, Expire: history.At(at.Add(8 * time.Hour)),
		SourceAddress: m.pick("192.0.2.7", "2001:db8::7", "fe80::1%eth0", "::ffff:192.0.2.7", ""),
		MACAddress:    m.pick("00:00:5E:00:53:01", "00-00-5e-00-53-02", ""),
		Destination:   m.pick("", "desk-"+user), SourceViewer: m.pick("", "laptop-"+user),
		Listener: m.pick("login", "radius", "extauthz"), Sidecar: m.pick("asp1-0", "asp1-1"),
		CorrelationID: m.pick("", "", m.id(at).String(), "as the gateway names it"),
		DeviceDigest:  fmt.Sprintf("k1:%s-%d", user, device),
	}
}

// failure is a denied attempt.
func (m *maker) failure(at time.Time, user, reason string) history.Record {
	r := m.success(at, user)
	r.Result, r.Reason, r.Expire, r.Enrolled = history.Failure, reason, 0, false
	return r
}

// later is what is told of a connection after its login, by whom only knows its session: it may contradict.
func (m *maker) later(login *history.Record) history.Record {
	r := history.Record{
		ID: login.ID, Namespace: login.Namespace, Server: login.Server, Partial: true,
		User: m.pick(login.User, login.User, ""), Result: history.Success, Expire: login.Expire,
	}
	start := login.Start().Time()
	r.LastSeen = history.At(start.Add(time.Duration(m.random.IntN(7200)) * time.Second))
	r.ReceivedBytes, r.SentBytes = m.random.Uint64N(1<<40), m.random.Uint64N(1<<20)
	r.End = history.End(m.pick("", "", "Expired", "Replaced", "Refused", "Stopped", "Logout"))
	if r.End != history.EndNone {
		r.EndTime = history.At(start.Add(time.Duration(m.random.IntN(7200)) * time.Second))
	}
	return r
}

var (
	users   = []string{"taro", "jiro", "saburo", "hanako", "Ωmega"}
	reasons = []string{"PasswordMismatch", "DeviceMismatch", "DeviceNotRegistered", "UnknownUser"}
)

// tellings are all that is told of so many attempts, over two namespaces, three servers and three months, in order.
func (m *maker) tellings(attempts int) []history.Record {
	var all []history.Record
	for i := range attempts {
		at := began.Add(time.Duration(i) * 60 * 24 * time.Hour / time.Duration(attempts)).Truncate(time.Millisecond)
		user := m.pick(users...)
		var told []history.Record
		if m.random.IntN(3) == 0 {
			reason := m.pick(reasons...)
			r := m.failure(at, user, reason)
			if reason == "UnknownUser" {
				r.User = ""
			}
			told = append(told, r, r)
		} else {
			login := m.success(at, user)
			told = append(told, login)
			for range m.random.IntN(4) {
				told = append(told, m.later(&login))
			}
		}
		namespace, server := m.pick("relays", "relays", "other"), m.pick("asp1", "asp2")
		for i := range told {
			told[i].Namespace, told[i].Server = namespace, server
		}
		all = append(all, told...)
	}
	return all
}

func (m *maker) shuffled(records []history.Record) []history.Record {
	shuffled := slices.Clone(records)
	m.random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	return shuffled
}

// batches cuts records into batches of up to so many.
func (m *maker) batches(records []history.Record, most int) [][]history.Record {
	var all [][]history.Record
	for len(records) > 0 {
		n := min(len(records), 1+m.random.IntN(most))
		all = append(all, records[:n])
		records = records[n:]
	}
	return all
}

func fill(t *testing.T, s *subject, attempts int) (*maker, *model) {
	t.Helper()
	m := newMaker()
	tellings := m.tellings(attempts)
	for _, batch := range m.batches(tellings, 200) {
		s.put(batch...)
	}
	return m, newModel(tellings...)
}

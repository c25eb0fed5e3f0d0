package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/tegata-dev/tegata/internal/history"
)

// The bounds of the issue: "a user's page (50 rows, any filter of the page) under 10 ms at 10 million rows, flat from
// 1 million to 10 million (at most 1.3 times)".
const (
	maxPageTime  = 10_000_000 // ns
	maxPageSlope = 1.3
	pageSize     = 50
)

// attempts are made-up records of a year, in the order of time, the same ones each time.
type attempts struct {
	total, users int
	begin        time.Time
	span         time.Duration
	random       *rand.Rand
	made         int
}

// attemptsOfUser is how many attempts each user has in the year.
const attemptsOfUser = 1000

func newAttempts(total int) *attempts {
	return &attempts{
		total: total, users: max(1, total/attemptsOfUser), begin: time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC), span: 365 * 24 * time.Hour,
		random: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // the same ones each time
	}
}

// The shares are a guess: most attempts succeed, and of those that do not most have a wrong password.
var benchReasons = []string{
	"PasswordMismatch", "PasswordMismatch", "PasswordMismatch", "PasswordMismatch", "DeviceMismatch", "DeviceNotRegistered",
	"UnknownUser", "Throttled", "OutsideValidity", "SourceAddressDenied",
}

// next are the next records, at most n.
func (a *attempts) next(n int) []history.Record {
	records := make([]history.Record, min(n, a.total-a.made))
	for i := range records {
		records[i] = a.record(a.begin.Add(time.Duration(float64(a.span) * float64(a.made) / float64(a.total))))
		a.made++
	}
	return records
}

func (a *attempts) record(at time.Time) history.Record {
	r := history.Record{Namespace: benchNamespace, Result: history.Success, Program: "viewer", Viewer: "pc", Slot: "pc", Listener: "login"}
	_ = r.ID.SetTime(ulid.Timestamp(at)) // no year past 10000
	binary.BigEndian.PutUint64(r.ID[6:], a.random.Uint64())
	binary.BigEndian.PutUint16(r.ID[14:], uint16(a.random.Uint32())) //nolint:gosec // any bits do
	user := a.random.IntN(a.users)
	r.Server, r.User = fmt.Sprintf("asp%d", user%3), userName(user)
	r.UserName, r.Destination, r.Sidecar = r.User, "desk-"+r.User, r.Server+"-7f9c4d5b6-x2x4q"
	r.SourceAddress = fmt.Sprintf("192.0.%d.%d", user%256, a.random.IntN(256))
	device := 0
	switch a.random.IntN(10) {
	case 0:
		r.Viewer, r.Slot, device = "mobile", "mobile", 1
		r.SourceAddress = a.sourceOfMobile(user)
	case 1, 2:
		r.Program, r.Viewer, r.Slot = "client", "", ""
	}
	r.MACAddress = fmt.Sprintf("00:00:5e:%02x:%02x:%02x", user>>8&255, user&255, device)
	r.DeviceDigest = fmt.Sprintf("k1:%043d", user*2+device)
	if a.random.IntN(50) == 0 { // most have the record's own
		r.CorrelationID = r.ID.String()
	}
	if a.random.IntN(4) == 0 {
		r.Result, r.Reason = history.Failure, benchReasons[a.random.IntN(len(benchReasons))]
		return r
	}
	lasts := history.Millis(a.random.IntN(4 * 3600 * 1000))
	r.Expire, r.LastSeen, r.End, r.EndTime = r.Start()+8*3600*1000, r.Start()+lasts, history.Logout, r.Start()+lasts
	r.ReceivedBytes, r.SentBytes = a.random.Uint64N(1<<32), a.random.Uint64N(1<<24)
	return r
}

// sourceOfMobile is an address of a network that the user has sixteen of.
func (a *attempts) sourceOfMobile(user int) string {
	address := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint32(address[4:], uint32(user)<<4|uint32(a.random.IntN(16))) //nolint:gosec // few users
	binary.BigEndian.PutUint32(address[12:], a.random.Uint32())
	return netip.AddrFrom16(address).String()
}

// pageQueries are the pages that an administrator asks for. Each call of one is about another user. Those by a viewer
// or an address, which no index knows, hold what is found among so many records, and may have a next one.
var pageQueries = []struct {
	what string
	of   func(a *attempts, n int) history.Filter
}{
	{"a user's", (*attempts).ofUser},
	{"a user's failures", func(a *attempts, n int) history.Filter {
		f := a.ofUser(n)
		f.Result = history.Failure
		return f
	}},
	{"a user's, of clients that failed for a rare reason", func(a *attempts, n int) history.Filter {
		f := a.ofUser(n)
		f.Program, f.Result, f.Reason = "client", history.Failure, "OutsideValidity"
		return f
	}},
	{"a user's, of a month long ago", func(a *attempts, n int) history.Filter {
		f := a.ofUser(n)
		f.Since, f.Until = a.begin.AddDate(0, 2, 0), a.begin.AddDate(0, 3, 0)
		return f
	}},
	{fromAddress, func(a *attempts, n int) history.Filter {
		f := a.ofUser(n)
		f.SourceAddress = fmt.Sprintf("192.0.%d.7", n*7919%a.users%256)
		return f
	}},
	{"a server's", func(_ *attempts, n int) history.Filter {
		return history.Filter{Namespace: benchNamespace, Server: fmt.Sprintf("asp%d", n%3)}
	}},
	{"a server's failures", func(_ *attempts, n int) history.Filter {
		return history.Filter{Namespace: benchNamespace, Server: fmt.Sprintf("asp%d", n%3), Result: history.Failure}
	}},
	{"a namespace's", func(*attempts, int) history.Filter { return history.Filter{Namespace: benchNamespace} }},
	{"a namespace's, of a reason", func(*attempts, int) history.Filter {
		return history.Filter{Namespace: benchNamespace, Reason: "DeviceMismatch"}
	}},
	{"a namespace's mobile viewers'", func(*attempts, int) history.Filter {
		return history.Filter{Namespace: benchNamespace, Viewer: "mobile"}
	}},
	{nowhere, func(_ *attempts, n int) history.Filter {
		return history.Filter{Namespace: benchNamespace, SourceAddress: fmt.Sprintf("198.51.100.%d", n%256)}
	}},
}

// fromAddress is a page that the issue does not ask for: the history page has no such filter, only the field selectors
// do. All of a user's records are looked at for it. It is measured, and not judged.
const fromAddress = "a user's, from an address"

// nowhere is a page that as many records are looked at for as for any, and that has none.
const nowhere = "a namespace's, from an address that none has"

func (a *attempts) ofUser(n int) history.Filter {
	return history.Filter{Namespace: benchNamespace, User: userName(n * 7919 % a.users)}
}

// pageRows compares the pages of a store with those of one that holds a tenth. They take turns: what disturbs the
// machine disturbs both.
func pageRows(ctx context.Context, rounds int, small, large history.Store, few, many *attempts) ([]Row, error) {
	var rows []Row
	for _, q := range pageQueries {
		var times [2][]float64
		found := 0
		for n := range rounds {
			for i, in := range []struct {
				store history.Store
				of    *attempts
			}{{small, few}, {large, many}} {
				began := time.Now()
				page, err := in.store.List(ctx, history.Query{Filter: q.of(in.of, n), Limit: pageSize})
				times[i] = append(times[i], float64(time.Since(began)))
				if err != nil {
					return rows, fmt.Errorf("%s page: %w", q.what, err)
				}
				found += len(page.Records)
			}
		}
		if found == 0 && q.what != nowhere {
			return rows, fmt.Errorf("%s page: there is nothing on it", q.what)
		}
		most, slope := figureAtMost(maxPageTime), ratioAtMost(maxPageSlope)
		if q.what == fromAddress {
			most, slope = nil, nil
		}
		rows = append(rows,
			Row{What: q.what + " page, 95 of 100", Unit: nanoseconds, Figure: Figure(quantile(times[1], 0.95)), Bound: most},
			Row{What: q.what + " page, median", Unit: nanoseconds, Figure: Figure(median(times[1])), Floor: Figure(median(times[0])), Bound: slope})
	}
	rows[1].Note = fmt.Sprintf("%d records of %d users in a year; the floor is the same page among %d of %d", many.made, many.users, few.made, few.users)
	return rows, nil
}

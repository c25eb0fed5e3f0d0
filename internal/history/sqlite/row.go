package sqlite

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/tegata-dev/tegata/internal/history"
)

// The flags of a record.
const (
	flagPartial = 1 << iota
	flagEnrolled
)

// ends are what the numbers in the column ending stand for. New ones go to the end.
var ends = []history.End{
	history.EndNone, history.Lost, history.Expired, history.Replaced, history.Refused, history.Stopped, history.Logout,
}

// kept is a record as it is in a month's file.
type kept struct {
	history.Record
	space, account, profile int64
}

// keys are the numbers that stand for a record's texts in one month's file.
type keys struct{ space, relay, account, kind, profile, teller int64 }

// arguments are those of insertRecord and updateRecord.
func arguments(r *history.Record, k keys) ([]any, error) {
	end := slices.Index(ends, r.End)
	if end < 0 {
		return nil, fmt.Errorf("record %s: no such end: %q", r.ID, r.End)
	}
	flags := 0
	if r.Partial {
		flags |= flagPartial
	}
	if r.Enrolled {
		flags |= flagEnrolled
	}
	var openUntil any
	if r.Open() {
		openUntil = int64(r.Expire)
	}
	start := r.Start()
	return []any{
		r.ID[:], k.space, k.relay, k.account, k.kind, k.profile, k.teller, flags, since(start, r.Expire), openUntil,
		since(start, r.LastSeen), end, since(start, r.EndTime), packAddress(r.SourceAddress), packID(r.CorrelationID),
		int64(r.ReceivedBytes), int64(r.SentBytes), //nolint:gosec // they come back as they were
	}, nil
}

func since(start, t history.Millis) any {
	if t == 0 {
		return nil
	}
	return int64(t - start)
}

func after(start history.Millis, d sql.NullInt64) history.Millis {
	if !d.Valid {
		return 0
	}
	return start + history.Millis(d.Int64)
}

// packAddress is an address in the bytes that it has, where that gives the same text back; otherwise the text.
func packAddress(text string) any {
	if text == "" {
		return nil
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && a.String() == text {
		return a.AsSlice()
	}
	return text
}

func unpackAddress(v any) string {
	switch v := v.(type) {
	case []byte:
		if a, ok := netip.AddrFromSlice(v); ok {
			return a.String()
		}
	case string:
		return v
	}
	return ""
}

// packID does so with a ULID.
func packID(text string) any {
	if text == "" {
		return nil
	}
	if id, err := ulid.ParseStrict(text); err == nil && id.String() == text {
		return id[:]
	}
	return text
}

func unpackID(v any) string {
	switch v := v.(type) {
	case []byte:
		if len(v) == len(ulid.ULID{}) {
			return ulid.ULID(v).String()
		}
	case string:
		return v
	}
	return ""
}

// scan reads the columns of columns.
func scan(from interface{ Scan(...any) error }) (kept, error) {
	var (
		r                       kept
		id                      []byte
		expire, lastSeen, ended sql.NullInt64
		flags, end              int
		source, correlation     any
		received, sent          int64
	)
	if err := from.Scan(&id, &r.Namespace, &r.Server, &r.account, &r.User, &r.Program, &r.Result, &r.Reason,
		&r.space, &r.profile, &r.UserName, &r.Viewer, &r.Slot, &r.MACAddress, &r.DeviceDigest, &r.Destination, &r.SourceViewer,
		&r.Listener, &r.Sidecar, &flags, &expire, &lastSeen, &end, &ended, &source, &correlation, &received, &sent); err != nil {
		return kept{}, err
	}
	if len(id) != len(r.ID) || end < 0 || end >= len(ends) {
		return kept{}, fmt.Errorf("record %x is damaged", id)
	}
	r.ID = history.ID(id)
	start := r.Start()
	r.Partial, r.Enrolled = flags&flagPartial != 0, flags&flagEnrolled != 0
	r.Expire, r.LastSeen, r.End, r.EndTime = after(start, expire), after(start, lastSeen), ends[end], after(start, ended)
	r.SourceAddress, r.CorrelationID = unpackAddress(source), unpackID(correlation)
	r.ReceivedBytes, r.SentBytes = uint64(received), uint64(sent) //nolint:gosec // as they were written
	return r, nil
}

// appendProfile appends the texts of a profile and its account, such that no others give the same bytes.
func appendProfile(b []byte, r *history.Record) []byte {
	for _, text := range [...]string{
		r.Namespace, r.Server, r.User, r.UserName, r.Viewer, r.Slot, r.MACAddress, r.DeviceDigest, r.Destination, r.SourceViewer,
	} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}

// hash is a profile's name in a file, for which nobody can find other texts.
type hash [16]byte

func hashOf(r *history.Record) hash {
	sum := sha256.Sum256(appendProfile(make([]byte, 0, 512), r))
	return hash(sum[:])
}

// known is a profile's name in this process, which is quicker to tell. Nobody can find other texts for it who does not
// know the seeds.
type known [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func knownAs(r *history.Record) (name known) {
	b := appendProfile(make([]byte, 0, 512), r)
	for i, seed := range seeds {
		name[i] = maphash.Bytes(seed, b)
	}
	return name
}

package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
)

// row is a record as it is in the table.
type row struct {
	history.Record
	stream *stream
}

func (r *row) month() month { return monthOfID(r.ID) }

// key identifies a record.
type key struct {
	ns int32
	id history.ID
}

func (r *row) key() key { return key{r.stream.ns, r.ID} }

// columns are those of the table, in the order of values and of scan.
var columns = []string{
	"id", "ns", "stream", "partial", "enrolled", "expire", "last_seen", "end_time", "received_bytes", "sent_bytes",
	"relay_user", "user_name", "viewer", "slot", "end_kind", "source_address", "mac_address", "destination",
	"source_viewer", "listener", "sidecar", "correlation_id", "device_digest",
}

// selected are the columns in a statement, of a table that is called r.
const selected = "r.id, r.ns, r.stream, r.partial, r.enrolled, r.expire, r.last_seen, r.end_time, r.received_bytes, r.sent_bytes, " +
	"r.relay_user, r.user_name, r.viewer, r.slot, r.end_kind, r.source_address, r.mac_address, r.destination, " +
	"r.source_viewer, r.listener, r.sidecar, r.correlation_id, r.device_digest"

func (r *row) values() []any {
	return []any{
		uuidOf(r.ID), r.stream.ns, r.stream.id, r.Partial, r.Enrolled, int64(r.Expire), int64(r.LastSeen), int64(r.EndTime),
		int64(r.ReceivedBytes), int64(r.SentBytes), //nolint:gosec // the bits are kept
		r.User, r.UserName, r.Viewer, r.Slot, string(r.End), r.SourceAddress, r.MACAddress, r.Destination,
		r.SourceViewer, r.Listener, r.Sidecar, r.CorrelationID, r.DeviceDigest,
	}
}

// scanRow reads the columns that are selected, but for what is the stream's.
func scanRow(from pgx.CollectableRow) (found row, streamID int32, err error) {
	var ns int32
	var received, sent int64
	r := &found
	err = from.Scan((*[16]byte)(&r.ID), &ns, &streamID, &r.Partial, &r.Enrolled, &r.Expire, &r.LastSeen, &r.EndTime, &received, &sent,
		&r.User, &r.UserName, &r.Viewer, &r.Slot, &r.End, &r.SourceAddress, &r.MACAddress, &r.Destination,
		&r.SourceViewer, &r.Listener, &r.Sidecar, &r.CorrelationID, &r.DeviceDigest)
	r.ReceivedBytes, r.SentBytes = uint64(received), uint64(sent) //nolint:gosec // the bits are kept
	return found, streamID, err
}

// take completes a row with what its stream says.
func (r *row) take(s *stream) {
	r.stream = s
	r.Namespace, r.Server = s.namespace, s.relay
	r.Program, r.Result, r.Reason = s.program, s.result, s.reason
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// collect reads rows. A stream that is not known was added since; then the registry is read anew, through q.
func (s *Store) collect(ctx context.Context, q querier, rows pgx.Rows) ([]row, error) {
	var streams []int32
	found, err := pgx.CollectRows(rows, func(from pgx.CollectableRow) (row, error) {
		r, id, err := scanRow(from)
		streams = append(streams, id)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	for i, id := range streams {
		of := s.registry.stream(id)
		if of == nil {
			news, err := q.Query(ctx, readStreams, s.registry.known())
			if err != nil {
				return nil, fmt.Errorf("read streams: %w", err)
			}
			if err := s.registry.take(news); err != nil {
				return nil, err
			}
			of = s.registry.stream(id)
		}
		found[i].take(of)
	}
	return found, nil
}

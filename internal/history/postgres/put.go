package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
)

// Put keeps records. See history.Store.
func (s *Store) Put(ctx context.Context, records []history.Record) (history.Stored, error) {
	if len(records) == 0 {
		return history.Stored{}, nil
	}
	stored, err := s.line.Put(ctx, records)
	if err != nil {
		return history.Stored{}, fmt.Errorf("put %d records: %w", len(records), err)
	}
	return stored, nil
}

// putAll keeps the records of several Puts, as if one came after the other.
func (s *Store) putAll(ctx context.Context, puts [][]history.Record) ([]history.Stored, error) {
	ids := idsByMonth(puts)
	if err := s.haveMonths(ctx, slices.Collect(maps.Keys(ids))); err != nil {
		return nil, err
	}
	stored, err := s.put(ctx, puts, ids, false)
	if isMonthMissing(err) { // a month was dropped that this store has seen
		s.months.clear()
		stored, err = s.put(ctx, puts, ids, true)
	}
	return stored, err
}

// put is one transaction. In it the months are made, too, if need be, so that nobody drops them in between.
func (s *Store) put(ctx context.Context, puts [][]history.Record, ids monthIDs, makeMonths bool) (stored []history.Stored, err error) {
	err = unlessDeadlocked(func() error {
		return s.writing(ctx, func(w *writer) error {
			if makeMonths {
				if err := w.makeMonths(ctx, ids); err != nil {
					return err
				}
			}
			in, err := w.read(ctx, puts, ids)
			if err != nil {
				return err
			}
			stored = make([]history.Stored, len(puts))
			for i, records := range puts {
				if err := in.merge(ctx, w, records, &stored[i]); err != nil {
					return err
				}
			}
			return w.apply(ctx, in.touched)
		})
	})
	return stored, err
}

// makeMonths takes the lock, and makes what partitions are missing.
func (w *writer) makeMonths(ctx context.Context, ids monthIDs) error {
	if _, err := w.tx.Exec(ctx, locking); err != nil {
		return fmt.Errorf("take the write lock: %w", err)
	}
	for m := range ids {
		if err := makeMonth(ctx, w.tx, m); err != nil {
			return err
		}
	}
	return nil
}

// monthIDs are ids by their months.
type monthIDs map[month][][16]byte

func idsByMonth(puts [][]history.Record) monthIDs {
	ids := monthIDs{}
	for _, records := range puts {
		for i := range records {
			m := monthOfID(records[i].ID)
			ids[m] = append(ids[m], uuidOf(records[i].ID))
		}
	}
	return ids
}

// touch is what becomes of one record: old is nil when it is new.
type touch struct {
	old    *row
	now    row    // its stream is not known yet
	server server // of now
	met    bool   // it is among those that were touched
}

// intake is what a batch meets.
type intake struct {
	servers map[serverKey]server
	byKey   map[key]*touch
	touched []*touch // in the order of the batch
}

// read asks in one round trip for all that a batch may meet.
func (w *writer) read(ctx context.Context, puts [][]history.Record, ids monthIDs) (*intake, error) {
	batch := &pgx.Batch{}
	batch.Queue(locking)
	batch.Queue(readStreams, w.store.registry.known())
	batch.Queue(readForgotten, w.store.names.known())
	namespaces, names := serversOf(puts)
	batch.Queue(readServers, namespaces, names)
	for m, some := range ids {
		batch.Queue(fmt.Sprintf("SELECT %s FROM %s r WHERE r.id = ANY($1)", selected, m.table()), some)
	}
	results := w.tx.SendBatch(ctx, batch)
	defer results.Close() //nolint:errcheck // what fails here has failed below
	if _, err := results.Exec(); err != nil {
		return nil, fmt.Errorf("take the write lock: %w", err)
	}
	in := &intake{byKey: map[key]*touch{}}
	if err := in.takeNames(w.store, results); err != nil {
		return nil, err
	}
	for range ids {
		rows, err := results.Query()
		if err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		if err := in.takeKept(ctx, w, rows); err != nil {
			return nil, err
		}
	}
	return in, results.Close()
}

func (in *intake) takeNames(s *Store, results pgx.BatchResults) error {
	streams, _ := results.Query() // its error is the rows', too
	if err := s.registry.take(streams); err != nil {
		return err
	}
	forgotten, _ := results.Query()
	if err := s.names.take(forgotten); err != nil {
		return err
	}
	servers, _ := results.Query()
	var err error
	in.servers, err = scanServers(servers)
	return err
}

func (in *intake) takeKept(ctx context.Context, w *writer, rows pgx.Rows) error {
	kept, err := w.store.collect(ctx, w.tx, rows)
	for i := range kept {
		r := &kept[i]
		in.byKey[r.key()] = &touch{old: r, now: row{Record: r.Record}, server: server{id: r.stream.server, ns: r.stream.ns}}
	}
	return err
}

func serversOf(puts [][]history.Record) (namespaces, names []string) {
	seen := map[serverKey]bool{}
	for _, records := range puts {
		for i := range records {
			k := serverKey{records[i].Namespace, records[i].Server}
			if !seen[k] {
				seen[k] = true
				namespaces, names = append(namespaces, k.namespace), append(names, k.name)
			}
		}
	}
	return namespaces, names
}

// merge makes of each record a touch, or part of one, and counts what comes of it.
func (in *intake) merge(ctx context.Context, w *writer, records []history.Record, stored *history.Stored) (err error) {
	for i := range records {
		r := &records[i]
		of := serverKey{r.Namespace, r.Server}
		v, ok := in.servers[of]
		if !ok {
			if v, err = makeServer(ctx, w.tx, of); err != nil {
				return err
			}
			in.servers[of] = v
		}
		t := in.byKey[key{v.ns, r.ID}]
		if r.Start() < v.expired || w.store.names.covers(r) || t != nil && (t.server.id != v.id || history.Contradict(&t.now.Record, r)) {
			stored.Dropped++
			continue
		}
		if t == nil {
			t = &touch{now: row{Record: *r}, server: v}
			in.byKey[key{v.ns, r.ID}] = t
			stored.New++
		} else if merged := history.Merge(t.now.Record, *r); merged == t.now.Record {
			stored.Same++
		} else {
			t.now.Record = merged
			stored.Changed++
		}
		if !t.met {
			t.met = true
			in.touched = append(in.touched, t)
		}
	}
	return nil
}

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Expire drops months of a server's records. That they are left out is noted first. When it fails, some may be left,
// which the next call finds.
func (s *Store) Expire(ctx context.Context, namespace, server string, before time.Time) (int, error) {
	n, err := s.expire(ctx, relayName{namespace, server}, before)
	if err != nil {
		return 0, fmt.Errorf("drop old records of %s/%s: %w", namespace, server, err)
	}
	return n, nil
}

func (s *Store) expire(ctx context.Context, name relayName, before time.Time) (int, error) {
	if err := s.startWriting(ctx); err != nil { // whoever writes now has not seen the note
		return 0, err
	}
	err := s.meta.expire(ctx, name, before)
	s.stopWriting()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, key := range s.allMonths() {
		if (key + 1).begin().After(before) {
			break
		}
		erased, err := s.expireMonth(ctx, key, name)
		n += erased
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// expireMonth removes the month's file when nothing of another server is in it, and otherwise what is of the server.
func (s *Store) expireMonth(ctx context.Context, key monthKey, name relayName) (n int, err error) {
	var alone bool
	for again := true; again; {
		again = false
		err := s.writing(ctx, key, func(b *batch) error {
			var relay int64
			err := b.month.scanRow([]any{&relay}, "SELECT id FROM relay WHERE namespace = ? AND server = ?", name.namespace, name.server)
			if isNone(err) {
				return nil
			}
			if err != nil {
				return err
			}
			if alone, err = b.month.alone(relay); err != nil || alone {
				return err
			}
			erased, err := b.expire(relay)
			n += erased
			again = erased > 0
			return err
		}, func(b *batch) error {
			b.month.known.clear()
			return nil
		})
		if err != nil {
			return n, err
		}
	}
	if alone {
		dropped, err := s.dropMonth(ctx, key, name)
		return n + dropped, err
	}
	return n, nil
}

// alone says whether no other relay has records.
func (m *month) alone(relay int64) (alone bool, err error) {
	err = m.scanRow([]any{&alone}, `SELECT NOT EXISTS (SELECT 1 FROM kind k WHERE k.relay <> ?1 AND EXISTS
  (SELECT 1 FROM record r INDEXED BY by_relay WHERE r.relay = k.relay AND r.kind = k.id))`, relay)
	return alone, err
}

// expire erases some of a relay's records. When there are none left, it erases the names.
func (b *batch) expire(relay int64) (int, error) {
	some, err := b.month.allOf("SELECT id, space FROM record INDEXED BY by_relay WHERE relay = ?1 LIMIT ?2 + 0", relay, eraseChunk)
	if err != nil {
		return 0, err
	}
	for i := range some {
		if err := b.remove(&some[i]); err != nil {
			return 0, err
		}
	}
	clear(b.shrunk) // their usage goes with the last of them
	if len(some) > 0 {
		return len(some), nil
	}
	for _, text := range []string{
		"DELETE FROM usage WHERE account IN (SELECT id FROM account WHERE relay = ?)",
		"DELETE FROM profile WHERE account IN (SELECT id FROM account WHERE relay = ?)",
		"DELETE FROM account WHERE relay = ?", "DELETE FROM kind WHERE relay = ?", "DELETE FROM relay WHERE id = ?",
	} {
		if _, err := b.month.exec(text, relay); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// dropMonth removes a month's file if nothing of another server has come into it, and says how many records it had.
func (s *Store) dropMonth(ctx context.Context, key monthKey, name relayName) (int, error) {
	if err := s.startWriting(ctx); err != nil {
		return 0, err
	}
	defer s.stopWriting()
	m, err := s.acquire(ctx, key, false)
	if m == nil || err != nil {
		return 0, err
	}
	n, alone, err := m.attemptsOf(ctx, name)
	if err != nil || !alone {
		return 0, errors.Join(err, s.release(m))
	}
	if err := s.writeNoMoreThan(0); err != nil {
		return 0, errors.Join(err, s.release(m))
	}
	// No new reader from here on. The files go when the last one is gone: who closes a file removes its log by name.
	s.mu.Lock()
	m.dropping = true
	m.refs--
	for m.refs > 0 {
		s.idle.Wait()
	}
	s.mu.Unlock()
	err = m.close()
	for _, suffix := range []string{"", "-wal", "-shm"} { // without its log, a file could still be opened
		if e := os.Remove(m.path + suffix); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	err = errors.Join(err, syncDirectory(s.dir))
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, key)
	delete(s.settled, key)
	if i, there := slices.BinarySearch(s.months, key); there {
		s.months = slices.Delete(s.months, i, i+1)
	}
	s.idle.Broadcast()
	s.feed.reset()
	return n, err
}

// attemptsOf are those that a relay's usage counts, nobody's included, and whether there are no others.
func (m *month) attemptsOf(ctx context.Context, name relayName) (n int, alone bool, err error) {
	if err := m.startWriting(ctx); err != nil {
		return 0, false, err
	}
	var relay int64
	if err := m.scanRow([]any{&relay}, "SELECT id FROM relay WHERE namespace = ? AND server = ?", name.namespace, name.server); err != nil {
		return 0, false, errors.Join(err, m.rollback())
	}
	if alone, err = m.alone(relay); err != nil || !alone {
		return 0, false, errors.Join(err, m.rollback())
	}
	if err := m.commitFolded(nil, nil); err != nil {
		return 0, false, errors.Join(err, m.rollback())
	}
	err = m.scanRow([]any{&n}, "SELECT coalesce(sum(attempts), 0) FROM usage WHERE account IN (SELECT id FROM account WHERE relay = ?)", relay)
	return n, alone, err
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

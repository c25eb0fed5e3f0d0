package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
)

// eraseChunk is how many records are erased in one transaction: who waits to write has a turn after each.
const eraseChunk = 1000

// CloseLost ends connections of which no end was told. A month without any that lasts is not looked at again until
// something changes in it.
func (s *Store) CloseLost(ctx context.Context, expired time.Time, limit int) (int, error) {
	n := 0
	for _, key := range s.allMonths() {
		s.mu.Lock()
		settled := s.settled[key]
		s.mu.Unlock()
		if settled {
			continue
		}
		if n >= limit {
			break
		}
		err := s.writing(ctx, key, func(b *batch) error {
			closed, err := b.closeLost(ceilMillis(expired), limit-n)
			n += closed
			return err
		}, func(b *batch) error { return s.noteSettled(b.month) })
		if err != nil {
			return 0, fmt.Errorf("close lost connections: %w", err)
		}
	}
	return n, nil
}

// writing runs f in a transaction of its own, in a month that there is, and then after, with still nobody else writing.
func (s *Store) writing(ctx context.Context, key monthKey, f, after func(*batch) error) error {
	if err := s.startWriting(ctx); err != nil {
		return err
	}
	defer s.stopWriting()
	return s.with(ctx, key, func(m *month) error {
		if err := m.startWriting(ctx); err != nil {
			return err
		}
		b := newBatch(m)
		if err := f(b); err != nil {
			return errors.Join(err, m.rollback())
		}
		if err := s.commit(b); err != nil || after == nil {
			return err
		}
		return after(b)
	})
}

func (b *batch) closeLost(expired int64, limit int) (int, error) {
	lost, err := b.month.all(selectOpen, expired, limit)
	if err != nil {
		return 0, err
	}
	for i := range lost {
		r := lost[i].Record
		r.End, r.EndTime = history.Lost, max(r.Start(), r.LastSeen)
		if err := b.replace(&lost[i], &r); err != nil {
			return 0, err
		}
	}
	return len(lost), nil
}

func (s *Store) noteSettled(m *month) error {
	var open bool
	if err := m.scanRow([]any{&open}, "SELECT EXISTS (SELECT 1 FROM record INDEXED BY by_open WHERE open_until IS NOT NULL)"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled[m.key] = !open
	return nil
}

// all are the records that a statement finds.
func (m *month) all(text string, args ...any) ([]kept, error) {
	rows, err := m.rows(text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	var all []kept
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// Forget erases what is kept of a user. That they are forgotten is noted first: nothing is told of them meanwhile.
// When it fails, some may be left; it is to be asked for again.
func (s *Store) Forget(ctx context.Context, who history.Person, now time.Time) (int, error) {
	n, err := s.forget(ctx, who, now)
	if err != nil {
		return 0, fmt.Errorf("forget a user: %w", err)
	}
	return n, nil
}

func (s *Store) forget(ctx context.Context, who history.Person, now time.Time) (int, error) {
	if err := s.startWriting(ctx); err != nil { // whoever writes now has not seen the note
		return 0, err
	}
	err := s.meta.forget(ctx, who, now)
	s.stopWriting()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, key := range s.allMonths() {
		for again := true; again; {
			err := s.writing(ctx, key, func(b *batch) error {
				erased, err := b.forget(who)
				n += erased
				again = erased > 0
				return err
			}, func(b *batch) error {
				b.month.known.clear()
				if again {
					return nil
				}
				return b.month.emptyLog()
			})
			if err != nil {
				return 0, err
			}
			if _, there := slices.BinarySearch(s.allMonths(), key); !there {
				break
			}
		}
	}
	return n, nil
}

// emptyLog writes the log into the file and makes it empty, so that what is erased is not in it either. It waits for
// who reads.
func (m *month) emptyLog() error {
	var busy, pages, moved int
	if err := m.scanRow([]any{&busy, &pages, &moved}, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("what is erased is in the log still: readers keep it")
	}
	return nil
}

// forget erases some of a person's records. When there are none left, it erases the names.
func (b *batch) forget(who history.Person) (int, error) {
	var theirs []kept
	for _, of := range []struct{ name, text string }{
		{who.User, `SELECT r.id, r.space FROM account a CROSS JOIN record r INDEXED BY by_account ON r.account = a.id
  WHERE a.relay IN (SELECT id FROM relay WHERE namespace = ?1) AND a.user = ?2 LIMIT ?3`},
		{who.UserName, `SELECT r.id, r.space FROM profile p CROSS JOIN record r INDEXED BY by_account ON r.account = p.account AND r.profile = p.id
  WHERE p.user_name = ?2 AND p.account IN (SELECT id FROM account WHERE relay IN (SELECT id FROM relay WHERE namespace = ?1)) LIMIT ?3`},
	} {
		if of.name == "" || len(theirs) > 0 {
			continue
		}
		some, err := b.month.allOf(of.text, who.Namespace, of.name, eraseChunk)
		if err != nil {
			return 0, err
		}
		theirs = some
	}
	for i := range theirs {
		if err := b.remove(&theirs[i]); err != nil {
			return 0, err
		}
	}
	if len(theirs) > 0 {
		return len(theirs), nil
	}
	return 0, b.forgetNames(who)
}

// allOf are the records whose IDs and spaces a statement finds.
func (m *month) allOf(text string, args ...any) ([]kept, error) {
	rows, err := m.rows(text, args...)
	if err != nil {
		return nil, err
	}
	type key struct {
		id    history.ID
		space int64
	}
	var found []key
	err = func() error {
		defer rows.Close() //nolint:errcheck // Err tells
		for rows.Next() {
			var (
				id []byte
				k  key
			)
			if err := rows.Scan(&id, &k.space); err != nil {
				return err
			}
			copy(k.id[:], id)
			found = append(found, k)
		}
		return rows.Err()
	}()
	if err != nil {
		return nil, err
	}
	all := make([]kept, 0, len(found))
	for _, k := range found {
		r, err := m.one(k.id, k.space)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// forgetNames erases what no record refers to any more.
func (b *batch) forgetNames(who history.Person) error {
	const relays = "(SELECT id FROM relay WHERE namespace = ?1)"
	if who.User != "" {
		for _, text := range []string{
			"DELETE FROM usage WHERE account IN (SELECT id FROM account WHERE relay IN " + relays + " AND user = ?2)",
			"DELETE FROM profile WHERE account IN (SELECT id FROM account WHERE relay IN " + relays + " AND user = ?2)",
			"DELETE FROM account WHERE relay IN " + relays + " AND user = ?2",
		} {
			if _, err := b.month.exec(text, who.Namespace, who.User); err != nil {
				return err
			}
		}
	}
	if who.UserName != "" {
		_, err := b.month.exec("DELETE FROM profile WHERE user_name = ?2 AND account IN (SELECT id FROM account WHERE relay IN "+relays+")",
			who.Namespace, who.UserName)
		return err
	}
	return nil
}

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
	err = m.scanRow([]any{&alone}, `SELECT NOT EXISTS (SELECT 1 FROM relay e CROSS JOIN kind k WHERE e.id <> ?1 AND EXISTS
  (SELECT 1 FROM record r INDEXED BY by_relay WHERE r.relay = e.id AND r.kind = k.id))`, relay)
	return alone, err
}

// expire erases some of a relay's records. When there are none left, it erases the names.
func (b *batch) expire(relay int64) (int, error) {
	some, err := b.month.allOf("SELECT id, space FROM record INDEXED BY by_relay WHERE relay = ?1 LIMIT ?2", relay, eraseChunk)
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
		"DELETE FROM account WHERE relay = ?", "DELETE FROM relay WHERE id = ?",
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

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
)

// eraseChunk is how many records are erased in one transaction: who waits to write has a turn after each.
const eraseChunk = 1000

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
// who reads, and who comes to read waits for it.
func (m *month) emptyLog() error {
	m.quiet.Lock()
	defer m.quiet.Unlock()
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
  WHERE a.relay IN (SELECT id FROM relay WHERE namespace = ?1) AND a.user = ?2 LIMIT ?3 + 0`},
		{who.UserName, `SELECT r.id, r.space FROM profile p CROSS JOIN record r INDEXED BY by_account ON r.account = p.account AND r.profile = p.id
  WHERE p.user_name = ?2 AND p.account IN (SELECT id FROM account WHERE relay IN (SELECT id FROM relay WHERE namespace = ?1)) LIMIT ?3 + 0`},
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

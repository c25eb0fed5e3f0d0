package sqlite

import (
	"database/sql"
	"fmt"
	"math/bits"
	"strings"
)

// maxArms is how many parts of an index are merged. Where there are more, all records are looked at instead.
const maxArms = 256

// merged is what a page reads in one month: records from low, and before high, newest first. They are merged from parts
// of an index, its arms, each of which is in order: those of the users or the relays that the filter chooses, of each
// kind that it does. Or they are all.
type merged struct {
	page, count string // statements
	arms        []any
	low, high   []byte
	// indexed says that the arms are of nothing that the filter leaves out.
	indexed bool
}

// How a page's statement begins. An arm is read no further than the page needs. Unused arms have numbers that nothing
// has. The plus signs are against SQLite's planner: where a column is compared with a mere parameter, it plans the
// statement anew whenever another value than before is bound that is 0 or 1, which takes longer than to read the page.
const (
	accountArm = "SELECT id, space, account, kind, profile, teller, flags, expire, last_seen, ending, end_time, source, correlation, received, sent " +
		"FROM record INDEXED BY by_account WHERE account = +?%d AND kind = +?%d AND id >= ?1 AND id < ?2"
	relayArm = "SELECT id, space FROM record INDEXED BY by_relay WHERE relay = +?%d AND kind = +?%d AND id >= ?1 AND id < ?2"
	noArm    = "SELECT id, space FROM record WHERE id >= ?1 AND id < ?2"
	unused   = -1
	unionAll = " UNION ALL "
)

// What else is read. Of an account, the record itself is not: the index has all of it.
const (
	accountJoins = textJoins + " CROSS JOIN account a ON a.id = r.account CROSS JOIN relay e ON e.id = a.relay "
	otherJoins   = " CROSS JOIN record r ON r.id = s.id AND r.space = s.space" + joins
)

// pageText finds ?4 of the ?3 newest records of arms, or all where that is negative, that match the words from ?5 on.
func pageText(arm string, arms int) string {
	from := "(" + armsText(arm, arms, firstWord+len(wordColumns)) + ")"
	if arm == accountArm {
		from += " r" + accountJoins
	} else {
		from += " s" + otherJoins
	}
	return selected + from + "WHERE " + wordsText + " LIMIT ?4 + 0"
}

// countText counts the ?3 newest records of arms, and finds the oldest of them.
func countText(arm string, arms int) string {
	return "SELECT count(*), min(id) FROM (" + armsText(arm, arms, 4) + ")"
}

// armsText has no parameters of arms where all are one.
func armsText(arm string, arms, parameter int) string {
	var b strings.Builder
	for i := range arms {
		if i > 0 {
			b.WriteString(unionAll)
		}
		fmt.Fprintf(&b, arm, parameter+2*i, parameter+2*i+1)
	}
	if arms == 0 {
		b.WriteString(arm)
	}
	b.WriteString(" ORDER BY id DESC, space DESC LIMIT ?3 + 0")
	return b.String()
}

// wordColumns are what the words of a filter are compared with, in the order of pager.words. The first few are those
// that arms are chosen by.
var wordColumns = [...]string{
	"e.namespace", "e.server", "a.user", "k.program", "k.result", "k.reason",
	"p.user_name", "p.viewer", "p.slot", "p.mac", "p.digest", "p.destination", "t.listener", "r.source",
}

// firstWord is the first parameter of a page's statement that is a word.
const firstWord = 5

// wordsText leaves out what the words do not choose. No word chooses all.
var wordsText = func() string {
	var all []string
	for i, column := range wordColumns {
		all = append(all, fmt.Sprintf("(?%d IS NULL OR %s = ?%d)", firstWord+i, column, firstWord+i))
	}
	return strings.Join(all, " AND ")
}()

// words are those of the filter.
func (p *pager) words() []any {
	f := &p.q.Filter
	words := make([]any, 0, len(wordColumns))
	for _, word := range [...]string{
		f.Namespace, f.Server, f.User, f.Program, string(f.Result), f.Reason,
		f.UserName, f.Viewer, f.Slot, f.MACAddress, f.DeviceDigest, f.Destination, f.Listener,
	} {
		if word == "" {
			words = append(words, nil)
		} else {
			words = append(words, word)
		}
	}
	return append(words, packAddress(f.SourceAddress))
}

// The arms that a filter chooses, and how many there are of the kind: ?1 to ?6 are its first words.
const (
	findAccountArms = `SELECT a.id, k.id, 0 FROM relay e CROSS JOIN account a ON a.relay = e.id AND a.user = ?3
  CROSS JOIN kind k ON k.relay = e.id ` + chosenArms
	findRelayArms = `SELECT e.id, k.id, (SELECT count(*) FROM kind) FROM relay e CROSS JOIN kind k ON k.relay = e.id ` + chosenArms
	chosenArms    = `WHERE (?1 IS NULL OR e.namespace = ?1) AND (?2 IS NULL OR e.server = ?2) AND (?4 IS NULL OR k.program = ?4)
  AND (?5 IS NULL OR k.result = ?5) AND (?6 IS NULL OR k.reason = ?6) LIMIT ?7 + 0`
)

// merged is nil when nothing in the month matches.
func (p *pager) merged(tx *reading) (*merged, error) {
	arm, find := relayArm, findRelayArms
	if p.q.User != "" {
		arm, find = accountArm, findAccountArms
	}
	m := &merged{low: p.low, high: p.high, indexed: p.q.Indexed()}
	var arms, all int
	err := tx.each(find, append(p.words()[:6:6], maxArms+1), func(rows *sql.Rows) error {
		var of, kind int64
		err := rows.Scan(&of, &kind, &all)
		m.arms = append(m.arms, of, kind)
		arms++
		return err
	})
	if arms == 0 || err != nil {
		return nil, err
	}
	m.indexed = m.indexed && arms <= maxArms
	if arms == all || arms > maxArms {
		m.arms, arm, arms = nil, noArm, 0
	} else {
		arms = armsPrepared(arms)
	}
	for len(m.arms) < 2*arms {
		m.arms = append(m.arms, unused)
	}
	m.page, m.count = pageText(arm, arms), countText(arm, arms)
	return m, nil
}

// armsPrepared is how many arms a statement has that is to read so many. Each takes more than 3 KB for as long as it is
// prepared: those of most pages are kept, in two sizes, and those of more arms are made for the page.
func armsPrepared(n int) int {
	switch {
	case n <= 4:
		return 4
	case n <= keptArms:
		return keptArms
	}
	return 1 << bits.Len(uint(n-1))
}

// keptArms are as many as a user or a relay has kinds, most often.
const keptArms = 32

// isKept says whether a statement stays prepared.
func isKept(text string) bool { return strings.Count(text, unionAll) < keptArms }

// reach is how far back so many records go, and how many there are.
func (m *merged) reach(tx *reading, most int) (low []byte, n int, err error) {
	err = tx.row(m.count, append([]any{m.low, m.high, most}, m.arms...), &n, &low)
	return low, n, err
}

package history

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

// table is the page of the manual: a section for each user with the total on top, oldest attempt first.
type table struct {
	*options
	sections map[string][]historyv1alpha1.AccessRecord
	live     bool
	// narrow: the terminal has no room for what is said twice.
	narrow bool
}

func (o *options) printer() printer {
	switch o.output {
	case "jsonl":
		return &lines{out: o.Terminal.Writer()}
	case "json":
		return &document{out: o.Terminal.Writer()}
	case "csv":
		return newSheet(o)
	}
	return &table{options: o, sections: map[string][]historyv1alpha1.AccessRecord{}}
}

func (t *table) records(page []historyv1alpha1.AccessRecord) error {
	for i := range page {
		r := &page[i]
		key := r.User
		if key == "" {
			key = "\xff" + r.UserName // nobody's come last; no name has this byte
		}
		t.sections[key] = append(t.sections[key], *r)
	}
	return nil
}

func (t *table) end(ctx context.Context, more bool) error {
	if len(t.sections) == 0 && !t.follow {
		t.Note("%s", t.Lang.Of("No attempts were found.", "該当する接続はありません。"))
	}
	for i, key := range slices.Sorted(maps.Keys(t.sections)) {
		if i > 0 {
			if err := t.Terminal.Printf("\n"); err != nil {
				return err
			}
		}
		if err := t.section(ctx, t.sections[key]); err != nil {
			return err
		}
	}
	if more {
		t.Note(t.Lang.Of("note: there are older attempts than these %d: --limit, --until",
			"注意：新しい順に %d 件を表示しました。さらに古い接続があります（--limit、--until）。"), t.limit)
	}
	clear(t.sections)
	return nil
}

func (t *table) section(ctx context.Context, records []historyv1alpha1.AccessRecord) error {
	newest := &records[0]
	title := t.Terminal.Paint(screen.Bold, screen.Clean(t.name(newest)))
	if total, ok := t.total(ctx, newest.User); ok {
		title += "  " + t.Lang.Duration(total)
	}
	if err := t.Terminal.Printf("%s\n", title); err != nil {
		return err
	}
	page := t.page(records)
	if !t.Terminal.Fits(page, indent) {
		t.narrow = true
		page = t.page(records)
		t.narrow = false
	}
	return t.Terminal.Print(page, indent)
}

const indent = "  "

func (t *table) page(records []historyv1alpha1.AccessRecord) *screen.Table {
	page := &screen.Table{Headings: t.headings(), Fold: true}
	for i := range slices.Backward(records) {
		page.Cells(t.row(&records[i])...)
	}
	return page
}

// name is whose a record is: the RelayUser, with the login name where that is another.
func (t *table) name(r *historyv1alpha1.AccessRecord) string {
	switch {
	case r.User == "" && r.UserName == "":
		return t.Lang.Of("(no such user)", "（登録されていないユーザ）")
	case r.User == "":
		return r.UserName + t.Lang.Of(" (no such user)", "（登録されていないユーザ）")
	case r.UserName != "" && !strings.EqualFold(r.UserName, r.User):
		return r.User + " (" + r.UserName + ")"
	}
	return r.User
}

// total is the user's total connected time. It is of all that is kept, not of what is shown. A reader who may not
// see it sees the rest.
func (t *table) total(ctx context.Context, user string) (time.Duration, bool) {
	if user == "" {
		return 0, false
	}
	var usage historyv1alpha1.UserUsage
	err := t.client.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: user}, &usage)
	return usage.ConnectedTime.Duration, err == nil
}

func (t *table) headings() []string {
	headings := []string{
		t.Lang.Of("START", "接続開始時刻"), t.Lang.Of("END", "接続終了時刻"), t.Lang.Of("DURATION", "接続時間"),
		t.Lang.Of("SOURCE ADDRESS", "接続元アドレス"), t.Lang.Of("MAC ADDRESS", "MACアドレス"),
	}
	if t.shows("destination") {
		headings = append(headings, t.Lang.Of("DESTINATION", "接続先クライアント"))
	}
	if t.shows("source") {
		headings = append(headings, t.Lang.Of("SOURCE VIEWER", "接続元ビューア"))
	}
	return append(headings, t.Lang.Of("RESULT", "認証結果"))
}

func (t *table) shows(column string) bool { return slices.Contains(t.show, column) }

func (t *table) row(r *historyv1alpha1.AccessRecord) []screen.Cell {
	now := t.Local(t.Now())
	end, duration := "-", "-"
	switch {
	case r.EndTime != nil:
		end = t.endOf(r, now)
	case r.State == historyv1alpha1.StateOpen:
		end = t.Lang.Of("connected", "接続中")
	}
	if r.Duration != nil && r.Result == historyv1alpha1.ResultSuccess {
		duration = t.Lang.Duration(r.Duration.Duration)
	}
	row := []screen.Cell{
		{Text: t.Lang.ShortTime(t.Local(r.StartTime.Time), now)}, {Text: end}, {Text: duration},
		{Text: orDash(r.SourceAddress)}, {Text: orDash(r.MACAddress)},
	}
	if t.shows("destination") {
		row = append(row, screen.Cell{Text: orDash(r.Destination)})
	}
	if t.shows("source") {
		row = append(row, screen.Cell{Text: orDash(r.SourceViewer)})
	}
	return append(row, t.verdict(r))
}

// endOf is when a connection ended: on a narrow terminal without the day that it began on, too.
func (t *table) endOf(r *historyv1alpha1.AccessRecord, now time.Time) string {
	start, end := t.Local(r.StartTime.Time), t.Local(r.EndTime.Time)
	if t.narrow && start.Format(time.DateOnly) == end.Format(time.DateOnly) {
		return end.Format(time.TimeOnly)
	}
	return t.Lang.ShortTime(end, now)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// verdict is the result with its reason.
func (t *table) verdict(r *historyv1alpha1.AccessRecord) screen.Cell {
	switch {
	case r.Result == historyv1alpha1.ResultFailure:
		return screen.Cell{Text: t.Lang.Failure(v1alpha1.Reason(r.Reason)), Colour: screen.Red, Whole: true}
	case r.State == historyv1alpha1.StateLost:
		return screen.Cell{Text: t.Lang.Success() + t.Lang.Of(" (its end was not told)", "（終了時刻は不明）"), Colour: screen.Yellow, Whole: true}
	}
	return screen.Cell{Text: t.Lang.Success(), Colour: screen.Green, Whole: true}
}

// liveWidths are those of lines that come one by one: user, and the columns of a section.
var liveWidths = []int{16, 19, 19, 12, 15, 17, 20, 20, 20}

// change shows a line of its own, with whose it is.
func (t *table) change(r *historyv1alpha1.AccessRecord) error {
	var rows [][]screen.Cell
	if !t.live {
		t.live = true
		head := []screen.Cell{{Text: t.Lang.Of("USER", "ユーザ名"), Colour: screen.Bold}}
		for _, heading := range t.headings() {
			head = append(head, screen.Cell{Text: heading, Colour: screen.Bold})
		}
		rows = append(rows, head)
	}
	rows = append(rows, append([]screen.Cell{{Text: t.name(r)}}, t.row(r)...))
	return t.Terminal.Folded(rows, liveWidths[:len(rows[0])], "")
}

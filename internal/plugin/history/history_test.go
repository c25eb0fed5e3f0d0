package history_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestNarrowTerminals shows the page to who has the ticket, on a terminal as it comes up: no line is wider, no word is
// broken, and nothing of the page is missing.
func TestNarrowTerminals(t *testing.T) {
	for name, tc := range map[string]struct {
		fake func() *fake
		args []string
	}{
		"80-en":         {manual, []string{"user1", "--lang=en"}},
		"80-ja":         {manual, []string{"user1", "--lang=ja"}},
		"80-show-en":    {manual, []string{"user1", "--lang=en", "--show=destination,source"}},
		"80-hostile-ja": {hostile, []string{"--lang=ja", "--show=destination,source"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := runWith(t, tc.fake(), map[string]string{"COLUMNS": "80", "LC_ALL": "ja_JP.UTF-8"}, tc.args...)
			if code != shell.Done || errs != "" {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			width := &runewidth.Condition{EastAsianWidth: true}
			for line := range strings.Lines(out) {
				if got := width.StringWidth(strings.TrimSuffix(line, "\n")); got > 80 {
					t.Errorf("%d columns: %s", got, line)
				}
			}
			golden(t, name, out)
		})
	}
}

// hostile has what people who log in, or who have taken a sidecar over, could write.
func hostile() *fake {
	long, wide, rtl := record("taro", "11:00:00"), ended("hanako", "11:01:00", "23:59:59"), failed("", "11:02:00", "Newer")
	long.Destination, long.SourceViewer = strings.Repeat("x", 200), "\x1b]0;owned\a\u202e"
	wide.UserName, wide.Destination, wide.SourceViewer = "山田花子", "営業部の端末", "cafe\u0301"
	rtl.UserName, rtl.Destination, rtl.MACAddress, rtl.SourceAddress = "=שלום\x1b[2J", "-", "", ""
	lost := ended("jiro", "11:03:00", "11:04:00")
	lost.State, lost.End = historyv1alpha1.StateLost, historyv1alpha1.EndLost
	lastYear := ended("jiro", "11:05:00", "11:06:00")
	lastYear.StartTime.Time = lastYear.StartTime.AddDate(-1, 0, 0)
	lastYear.EndTime.Time = lastYear.EndTime.AddDate(-1, 0, 0)
	return &fake{records: []historyv1alpha1.AccessRecord{lost, rtl, wide, long, lastYear}, usages: map[string]time.Duration{"hanako": 100 * time.Hour}}
}

func TestTables(t *testing.T) {
	tests := map[string]struct {
		fake func() *fake
		args []string
	}{
		"manual-ja":  {manual, []string{"user1", "--lang=ja"}},
		"manual-en":  {manual, []string{"user1", "--lang=en", "--show=destination"}},
		"hostile-ja": {hostile, []string{"--lang=ja", "--show=destination,source"}},
		"hostile-en": {hostile, []string{"--lang=en", "--show=source"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			out, errs, code := run(t, tc.fake(), tc.args...)
			if code != shell.Done || errs != "" {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			if strings.ContainsAny(out, "\x1b\a\u202e") {
				t.Errorf("a control character reaches the terminal: %q", out)
			}
			golden(t, name, out)
		})
	}
}

func TestWhatIsAskedFor(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"everything":     {nil, ""},
		"one user":       {[]string{"user1"}, "user=user1"},
		"by login name":  {[]string{"ＵＳＥＲ１"}, "user=user1"},
		"nobody's name":  {[]string{"Ghost"}, "userName=Ghost"},
		"the filters":    {[]string{"--type=viewer", "--result=failure", "--relay-server=asp1"}, "program=viewer,result=Failure,server=asp1"},
		"a reason":       {[]string{"--reason=DeviceMismatch"}, "reason=DeviceMismatch,result=Failure"},
		"ago":            {[]string{"--since=2h"}, "since=2026-11-16T01:00:00Z"},
		"days":           {[]string{"--since=7d", "--until=1w"}, ""},
		"a date":         {[]string{"--since=2026-11-15", "--until=2026/11/16"}, "since=2026-11-14T15:00:00Z,until=2026-11-15T15:00:00Z"},
		"a local time":   {[]string{"--since", "2026-11-15 10:00"}, "since=2026-11-15T01:00:00Z"},
		"an offset":      {[]string{"--until=2026-11-15T10:00:00+00:00"}, "until=2026-11-15T10:00:00Z"},
		"today":          {[]string{"--since=today"}, "since=2026-11-15T15:00:00Z"},
		"the last month": {[]string{"--since=2026-10", "--until=2026-11"}, "since=2026-09-30T15:00:00Z,until=2026-10-31T15:00:00Z"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := manual()
			_, errs, code := run(t, f, append(tc.args, "-o=jsonl")...)
			if name == "days" { // the same moment: nothing lies between
				if code != shell.BadUsage {
					t.Errorf("exit code %d: %s", code, errs)
				}
				return
			}
			if code != shell.Done || len(f.asked) != 2 {
				t.Fatalf("exit code %d, asked %q: %s", code, f.asked, errs)
			}
			for _, asked := range f.asked {
				fields := strings.Split(asked, ",")
				slices.Sort(fields)
				if got := strings.Join(fields, ","); got != tc.want {
					t.Errorf("asked %q, want %q", got, tc.want)
				}
			}
		})
	}
}

func TestMistakesAreUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"--type=both", "--result=maybe"}, {"--type=phone"}, {"-o=xml"}, {"--show=everything"}, {"--reason=Nonsense"},
		{"--reason=DeviceMismatch", "--result=success"}, {"--since=someday"}, {"--until=-2h"}, {"--limit=-1"}, {"--follow", "-o=json"},
		{"--follow", "--until=1h"}, {"--since=1h", "--until=2h"}, {"--bom"}, {"--since=99999999999d"}, {"--delimiter=;"}, {"-o=csv", "--delimiter=|"},
	} {
		if _, errs, code := run(t, manual(), args...); code != shell.BadUsage || errs == "" {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
	}
}

func TestLimit(t *testing.T) {
	out, errs, _ := run(t, manual(), "--limit=3")
	if !strings.Contains(errs, "there are older attempts than these 3") || strings.Contains(out, "10:16:55") || !strings.Contains(out, "10:17:00") {
		t.Errorf("%s\n%s", out, errs)
	}
	out, errs, _ = run(t, manual(), "--limit=4")
	if errs != "" || !strings.Contains(out, "10:16:55") {
		t.Errorf("%s\n%s", out, errs)
	}
}

func TestJSON(t *testing.T) {
	out, _, _ := run(t, hostile(), "-o=json")
	var list historyv1alpha1.AccessRecordList
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Items) != 5 || list.Kind != "AccessRecordList" {
		t.Fatalf("%v, %d items in\n%s", err, len(list.Items), out)
	}
	if got, want := list.Items[3].SourceViewer, hostile().records[3].SourceViewer; got != want {
		t.Errorf("%q came out as %q", want, got)
	}
	if strings.ContainsAny(out, "\x1b\u202e") {
		t.Errorf("a control character is in\n%q", out)
	}
	if out, _, _ := run(t, &fake{}, "-o=json"); json.Unmarshal([]byte(out), &list) != nil || len(list.Items) != 0 {
		t.Errorf("none are %q", out)
	}
	out, _, _ = run(t, hostile(), "-o=jsonl")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	var r historyv1alpha1.AccessRecord
	if err := json.Unmarshal([]byte(lines[1]), &r); len(lines) != 5 || err != nil || r.Kind != "AccessRecord" || r.UserName != "=שלום\x1b[2J" {
		t.Errorf("%v in\n%s", err, out)
	}
}

func TestCSV(t *testing.T) {
	out, _, _ := run(t, hostile(), "-o=csv", "--bom", "--lang=ja")
	rest, marked := strings.CutPrefix(out, "\ufeff")
	if !marked || !strings.Contains(rest, "\r\n") {
		t.Errorf("no byte order mark, or no CRLF, in %q", out)
	}
	rows, err := csv.NewReader(strings.NewReader(rest)).ReadAll()
	if err != nil || len(rows) != 6 {
		t.Fatalf("%v, %d rows", err, len(rows))
	}
	at := map[string]int{}
	for i, head := range rows[0] {
		at[head] = i
	}
	for _, cell := range []struct {
		row        int
		name, want string
	}{
		{2, "userName", "'=שלום\x1b[2J"}, {2, "destination", "'-"}, {2, "durationSeconds", ""}, {2, "result", "Failure"},
		{3, "startTime", "2026-11-15T11:01:00+09:00"}, {3, "durationSeconds", "46739"}, {3, "destination", "営業部の端末"},
	} {
		if got := rows[cell.row][at[cell.name]]; got != cell.want {
			t.Errorf("row %d, %s: %q, want %q", cell.row, cell.name, got, cell.want)
		}
	}
	for word, comma := range map[string]rune{";": ';', "tab": '\t'} {
		out, _, _ := run(t, hostile(), "-o=csv", "--lang=ja", "--delimiter="+word)
		reader := csv.NewReader(strings.NewReader(out))
		reader.Comma = comma
		if others, err := reader.ReadAll(); err != nil || !cmp.Equal(rows, others) {
			t.Errorf("with %s: %v\n%s", word, err, cmp.Diff(rows, others))
		}
	}
	if out, _, _ := run(t, &fake{}, "-o=csv"); !strings.HasPrefix(out, "id,user,userName") || strings.Count(out, "\n") != 1 {
		t.Errorf("none are %q", out)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "history.tegata.dev", Resource: "accessrecords"}, "", errors.New("no"))
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"not installed": {&meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "history.tegata.dev", Kind: "AccessRecord"}}, "hint: the access-history server is not installed"},
		"forbidden":     {forbidden, "hint: ask whoever administers the cluster"},
		"away":          {apierrors.NewServiceUnavailable("no endpoints"), "hint: the API server cannot reach"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs, code := run(t, &fake{err: tc.err})
			if code != shell.Failed || !strings.Contains(errs, tc.want) {
				t.Errorf("exit code %d: %s", code, errs)
			}
		})
	}
}

// TestFollowGoesOnFromWhereItWas: the watch ends, fails and expires, and what comes is shown once.
func TestFollowGoesOnFromWhereItWas(t *testing.T) {
	change := func(version string, r historyv1alpha1.AccessRecord) *historyv1alpha1.AccessRecord {
		r.ResourceVersion = version
		return &r
	}
	f := manual()
	f.watches = []func(*watch.FakeWatcher) error{
		func(w *watch.FakeWatcher) error {
			w.Add(change("101", record("user1", "12:00:00")))
			w.Action(watch.Bookmark, change("105", historyv1alpha1.AccessRecord{}))
			w.Stop()
			return nil
		},
		func(*watch.FakeWatcher) error { return errors.New("connection refused\x1b[2J") },
		func(w *watch.FakeWatcher) error {
			w.Modify(change("106", ended("user1", "12:00:00", "12:30:00")))
			w.Delete(change("107", failed("user1", "12:40:00", v1alpha1.ReasonThrottled)))
			status := apierrors.NewResourceExpired("too old").Status()
			w.Error(&metav1.Status{Status: status.Status, Reason: status.Reason, Code: status.Code})
			return nil
		},
	}
	out, errs, code := run(t, f, "user1", "--follow")
	if code != shell.Failed || !strings.Contains(errs, "forbidden") { // which ends the test
		t.Errorf("exit code %d: %s", code, errs)
	}
	if diff := cmp.Diff([]string{"watch from 100", "watch from 105", "watch from 105", "user=user1", "watch from 100"}, f.asked[2:]); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	for _, want := range []string{"trying again", "attempts of the last moments were missed"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not told: %s", want, errs)
		}
	}
	if strings.Contains(errs, "\x1b") || strings.Contains(out, "12:40:00") {
		t.Errorf("shown:\n%s\n%s", out, errs)
	}
	golden(t, "follow-en", out)
}

func TestForget(t *testing.T) {
	f := manual()
	out, _, code := run(t, f, "forget", "user1", "--dry-run")
	if code != shell.Done || f.erased != "" || !strings.Contains(out, "user1: 4 records are kept.") {
		t.Errorf("exit code %d, erased %q:\n%s", code, f.erased, out)
	}
	if _, errs, code := run(t, f, "forget", "user1"); code != shell.BadUsage || f.erased != "" || !strings.Contains(errs, "--yes") {
		t.Errorf("exit code %d, erased %q: %s", code, f.erased, errs)
	}
	out, _, code = run(t, f, "forget", "user1", "--yes", "--lang=ja")
	if code != shell.Done || f.erased != "relays user=user1" || !strings.Contains(out, "user1 のアクセス履歴を消去しました。") {
		t.Errorf("exit code %d, erased %q:\n%s", code, f.erased, out)
	}
	if _, _, code := run(t, f, "forget", "Ghost", "--yes"); code != shell.Done || f.erased != "relays user=Ghost,userName=Ghost" {
		t.Errorf("exit code %d, erased %q", code, f.erased)
	}
}

package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	for name, tc := range map[string]struct {
		row       Row
		wantRatio float64
		want      Verdict
		missed    bool
	}{
		"only told":               {row: Row{Figure: 5, Floor: 10}, wantRatio: 0.5},
		"figure within":           {row: Row{Figure: 5, Bound: figureAtMost(5)}, want: pass},
		"figure beyond":           {row: Row{Figure: 5.1, Bound: figureAtMost(5)}, want: fail, missed: true},
		"figure of nothing":       {row: Row{Figure: 0, Bound: figureAtMost(0)}, want: pass},
		"too few":                 {row: Row{Figure: 0, Bound: &Bound{ofFigure, atLeast, 1}}, want: fail, missed: true},
		"ratio within":            {row: Row{Figure: 9, Floor: 10, Bound: &Bound{ofRatio, atLeast, 0.9}}, wantRatio: 0.9, want: pass},
		"ratio below":             {row: Row{Figure: 8, Floor: 10, Bound: &Bound{ofRatio, atLeast, 0.9}}, wantRatio: 0.8, want: fail, missed: true},
		"ratio above":             {row: Row{Figure: 12, Floor: 10, Bound: ratioAtMost(1.1)}, wantRatio: 1.2, want: fail, missed: true},
		"not a number":            {row: Row{Figure: Figure(math.NaN()), Bound: figureAtMost(5)}, want: fail, missed: true},
		"no floor was measured":   {row: Row{Figure: 5, Bound: &Bound{ofRatio, atLeast, 0.9}}, want: fail, missed: true},
		"nothing could be judged": {row: Row{Figure: 1, Bound: figureAtMost(5), Verdict: noisy}, want: noisy, missed: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReport(&options{})
			r.add("test", []Row{tc.row})
			got := r.Rows[0]
			if got.Verdict != tc.want || got.Ratio != tc.wantRatio {
				t.Errorf("got %q with ratio %g, want %q with %g", got.Verdict, got.Ratio, tc.want, tc.wantRatio)
			}
			if r.missed() != tc.missed {
				t.Errorf("missed is %v, want %v", r.missed(), tc.missed)
			}
		})
	}
}

func TestReportShowsEveryRow(t *testing.T) {
	r := newReport(&options{})
	r.add("flood", []Row{
		{What: "memory", Unit: bytesUnit, Figure: 24 << 20, Floor: 19 << 20, Bound: ratioAtMost(1.1), Note: "a note"},
		{What: "speed", Unit: perSecond, Figure: 40.123, CPU: 20e6},
		{What: "broken", Unit: nanoseconds, Figure: Figure(math.Inf(1)), Bound: figureAtMost(1000)},
	})
	var out strings.Builder
	r.print(&out)
	for _, want := range []string{
		"memory  24 MiB  19 MiB  1.263  -            ratio at most 1.1  FAIL",
		"speed   40.1/s  -       -      20 ms        -                  -",
		"at most 1 µs       FAIL",
		"flood, memory: a note",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
	encoded, err := json.Marshal(r)
	if err != nil {
		t.Fatalf("JSON of a figure that is infinite: %v", err)
	}
	if want := `"figure":null`; !strings.Contains(string(encoded), want) {
		t.Errorf("the JSON lacks %s: %s", want, encoded)
	}
}

func TestParseOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		args    []string
		wantErr string
	}{
		"none":              {},
		"all":               {args: []string{"--quick", "--only=decide,flood", "--only", "writes", "--json", "x", "--break-hash"}},
		"unknown name":      {args: []string{"--only=decode"}, wantErr: "no such measurement; there are decide, overhead"},
		"unexpected word":   {args: []string{"decide"}, wantErr: `unexpected argument "decide"`},
		"unknown flag":      {args: []string{"--slow"}, wantErr: "unknown flag"},
		"an empty selector": {args: []string{"--only="}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseOptions(tc.args)
			if (err == nil) != (tc.wantErr == "") || (err != nil && !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("error is %v, want %q", err, tc.wantErr)
			}
		})
	}
}

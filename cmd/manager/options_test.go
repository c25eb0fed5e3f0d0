package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseOptions(t *testing.T) {
	defaults := options{metricsAddress: ":8443", probeAddress: ":8081", leaderElect: true, logLevel: "info"}
	with := func(change func(*options)) options {
		o := defaults
		change(&o)
		return o
	}
	for name, tc := range map[string]struct {
		args    string
		want    options
		wantErr string
	}{
		"nothing":           {args: "", want: defaults},
		"namespaces, twice": {args: "--namespace a --namespace b,c", want: with(func(o *options) { o.namespaces = []string{"a", "b", "c"} })},
		"no election":       {args: "--leader-elect=false", want: with(func(o *options) { o.leaderElect = false })},
		"no metrics":        {args: "--metrics-bind-address 0", want: with(func(o *options) { o.metricsAddress = "0" })},
		"an argument":       {args: "asp1", wantErr: "unexpected argument"},
		"a bad namespace":   {args: "--namespace A_b", wantErr: `--namespace "A_b"`},
		"a bad level":       {args: "--log-level loud", wantErr: "--log-level"},
		"an unknown flag":   {args: "--leader", wantErr: "unknown flag"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseOptions(strings.Fields(tc.args))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("%v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, *got, cmp.AllowUnexported(options{})); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

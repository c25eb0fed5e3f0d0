package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/testenv"
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
		"an argument":       {args: "asp1", wantErr: `unexpected argument "asp1"; see --help`},
		"a bad namespace":   {args: "--namespace A_b", wantErr: `--namespace "A_b"`},
		"a bad level":       {args: "--log-level loud", wantErr: "--log-level"},
		"an unknown flag":   {args: "--leader", wantErr: "unknown flag: --leader; see --help"},
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

// TestCommandLine runs the manager where it finds no cluster.
func TestCommandLine(t *testing.T) {
	for name, tc := range map[string]struct {
		args       []string
		wantCode   int
		wantStdout string // a pattern, as is the other
		wantStderr string
	}{
		"help":                     {[]string{"--help"}, 0, `(?s)\Amanager is Tegata's operator\..*\n  manager \[flags\].*--kubeconfig string.*\z`, `\A\z`},
		"short help":               {[]string{"-h"}, 0, `\Amanager is`, `\A\z`},
		"version":                  {[]string{"--version"}, 0, `\Adev\n\z`, `\A\z`},
		"version beside a mistake": {[]string{"--log-level=loud", "--version"}, 0, `\Adev\n\z`, `\A\z`},
		"unknown flag":             {[]string{"--nope"}, 2, `\A\z`, `\Amanager: unknown flag: --nope; see --help\n\z`},
		"no cluster": {nil, 1, `\A\z`,
			`\A\{"level":"error",.*"error":"no cluster is known: give --kubeconfig, or set KUBECONFIG, or run in a pod"\}\n\z`},
		"no kubeconfig": {[]string{"--kubeconfig=none"}, 1, `\A\z`,
			`\A\{"level":"error",.*"error":"read kubeconfig: .*\}\n\z`},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := runProgram(t, tc.args...)
			if code != tc.wantCode || !regexp.MustCompile(tc.wantStdout).MatchString(stdout) || !regexp.MustCompile(tc.wantStderr).MatchString(stderr) {
				t.Errorf("exit %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
			}
		})
	}
}

func runProgram(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), testenv.Program(t, "manager"), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"HOME=" + cmd.Dir, "PATH=" + os.Getenv("PATH")} // and so no KUBECONFIG, and no pod
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestHelpFitsATerminal holds the help to a width.
func TestHelpFitsATerminal(t *testing.T) {
	help, _, _ := runProgram(t, "--help")
	for line := range strings.Lines(help) {
		if len(line) > 110 {
			t.Errorf("line of %d characters: %s", len(line), line)
		}
	}
}

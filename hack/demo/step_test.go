package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newTestCluster runs commands in an empty directory and shows them in the buffer.
func newTestCluster(t *testing.T) (*cluster, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	return &cluster{dir: t.TempDir(), tools: tools{root: t.TempDir(), assets: t.TempDir()}, screen: newScreen(&out)}, &out
}

func TestTellShowsEachCommandAndItsOutput(t *testing.T) {
	c, out := newTestCluster(t)
	err := c.tell(t.Context(), []step{
		{"Something is said.", []act{run("printf 'a  b\\nc'; echo d >&2", says("a b cd")), runExpecting(3, "exit 3")}},
		{"Nothing is said.", []act{run("true")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `
1. Something is said.
$ printf 'a  b\nc'; echo d >&2
a  b
cd
$ exit 3

2. Nothing is said.
$ true
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestTellStopsWhenRealityDiffers(t *testing.T) {
	for name, tc := range map[string]struct {
		act  act
		want string
	}{
		"another status":     {run("echo a; exit 2"), "step 1: `echo a; exit 2` ended with status 2, not 0"},
		"success unexpected": {runExpecting(1, "true"), "step 1: `true` ended with status 0, not 1"},
		"another text":       {run("echo ab", says("a b")), "step 1: `echo ab`: it should have printed \"a b\""},
		"lines that differ":  {run("echo a; echo b", sameLines(2)), "step 1: `echo a; echo b`: it should have printed 2 times the same line"},
		"too few lines":      {run("echo a", sameLines(2)), "step 1: `echo a`: it should have printed 2 times the same line"},
		"too many lines":     {run("echo a; echo a; echo a", sameLines(2)), "step 1: `echo a; echo a; echo a`: it should have printed 2 times the same line"},
	} {
		t.Run(name, func(t *testing.T) {
			c, out := newTestCluster(t)
			err := c.tell(t.Context(), []step{{"First.", []act{tc.act}}, {"Second.", nil}})
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			if strings.Contains(out.String(), "Second.") {
				t.Errorf("the story went on:\n%s", out)
			}
		})
	}
}

// TestShellEndsWithItsContext has a pipeline whose members would all go on for ever.
func TestShellEndsWithItsContext(t *testing.T) {
	c, _ := newTestCluster(t)
	fifo := filepath.Join(c.dir, "fifo")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	_, _, err := c.shell(ctx, "mkfifo "+fifo+" && echo ready && cat "+fifo+" | cat", started)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestShellIgnoresTheUsersOwnSettings protects the story from proxies, .curlrc and kubectl's preferences.
func TestShellIgnoresTheUsersOwnSettings(t *testing.T) {
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	t.Setenv("no_proxy", "example.com")
	t.Setenv("KUBECONFIG", "/nonexistent")
	c, out := newTestCluster(t)
	if err := run(`echo "$no_proxy" "$NO_PROXY" "$KUBECONFIG" "$HOME"`)(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if want := "127.0.0.1 127.0.0.1 " + c.kubeconfig() + " " + c.dir + "\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("shown %q, want %q", out, want)
	}
}

func TestScreenHasNoColoursButOnATerminal(t *testing.T) {
	var out bytes.Buffer
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // nothing is written
	if newScreen(&out).colours || newScreen(file).colours {
		t.Error("a buffer or a file gets colours")
	}
	s := newScreen(&out)
	s.title("A title.")
	s.colours = true
	s.title("A title.")
	if want := "\nA title.\n\n\x1b[1mA title.\x1b[0m\n"; out.String() != want {
		t.Errorf("shown %q, want %q", out.String(), want)
	}
}

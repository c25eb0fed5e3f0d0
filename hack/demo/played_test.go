package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	// patience is for a machine that is busy with other tests.
	patience = 3 * time.Minute
	// mark is a variable in the environment of everything that a demo starts.
	mark = "TEGATA_DEMO_TEST"
)

// played is a demo that runs as a process of its own.
type played struct {
	t         *testing.T
	cmd       *exec.Cmd
	out       output
	temp      string
	ended     chan struct{}
	addresses []string
}

// output is read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startDemo starts a demo in the root of the repository with a directory for temporary files of its own.
func startDemo(t *testing.T, programs string, env ...string) *played {
	t.Helper()
	d := &played{t: t, cmd: exec.Command(filepath.Join(programs, "demo")), temp: t.TempDir(), ended: make(chan struct{})}
	d.cmd.Dir = filepath.Join("..", "..")
	d.cmd.Env = slices.Concat(os.Environ(), []string{"KEEP=", "TMPDIR=" + d.temp, mark + "=" + d.temp}, env)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait() // the status is in ProcessState
		close(d.ended)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.ended
		if t.Failed() {
			t.Logf("the demo printed\n%s", d.out.String())
		}
	})
	return d
}

// await waits until the demo has printed the text.
func (d *played) await(text string) {
	d.t.Helper()
	testenv.Eventually(d.t, patience, func() error {
		if strings.Contains(d.out.String(), text) {
			return nil
		}
		select {
		case <-d.ended:
			d.t.Fatalf("the demo ended before it printed %q", text)
		default:
		}
		return fmt.Errorf("%q is not printed", text)
	})
}

var address = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// noteAddresses notes where the demo listens now.
func (d *played) noteAddresses() {
	d.t.Helper()
	text := d.out.String()
	kubeconfigs, err := filepath.Glob(filepath.Join(d.temp, "tegata-demo-*", "kubeconfig"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, path := range kubeconfigs {
		content, err := os.ReadFile(path)
		if err != nil {
			d.t.Fatal(err)
		}
		text += string(content)
	}
	for _, found := range address.FindAllString(text, -1) {
		if connects(found) {
			d.addresses = append(d.addresses, found)
		}
	}
}

func connects(address string) bool {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = connection.Close()
	return true
}

// wantEnd waits for the end, with that status and that text in the output.
func (d *played) wantEnd(status int, text string) {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatalf("the demo has not ended after %s", patience)
	}
	if got := d.cmd.ProcessState.ExitCode(); got != status {
		d.t.Errorf("the demo ended with %s, want status %d", d.cmd.ProcessState, status)
	}
	if !strings.Contains(d.out.String(), text) {
		d.t.Errorf("the demo did not print %q", text)
	}
}

// wantNothingLeft looks for files, processes and ports.
func (d *played) wantNothingLeft() {
	d.t.Helper()
	files, err := os.ReadDir(d.temp)
	if err != nil || len(files) > 0 {
		d.t.Errorf("left in the directory for temporary files: %v, %v", files, err)
	}
	for _, address := range d.addresses {
		if connects(address) {
			d.t.Errorf("%s is still listened at", address)
		}
	}
	for _, process := range d.processes() {
		d.t.Errorf("still running: %s", process)
	}
}

// processes are the command lines of what runs with the mark. Only Linux tells.
func (d *played) processes() []string {
	d.t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		d.t.Fatal(err)
	}
	var found []string
	for _, path := range environments {
		environment, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environment, []byte(mark+"="+d.temp+"\x00")) {
			continue // ended, or somebody else's
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
	}
	return found
}

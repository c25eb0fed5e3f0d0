package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	utilversion "k8s.io/apimachinery/pkg/util/version"
)

const (
	namespace       = "relays"        // as in docs/install.md
	systemNamespace = "tegata-system" // as in config/manager
	// patience is how long a test waits for what is sure to happen.
	patience = 3 * time.Minute
	// perCommand is how long one command may take: making images takes longest.
	perCommand = 10 * time.Minute
)

// cluster is where the tests run, and a copy of the checkout from which they install.
type cluster struct {
	dir string
	env []string
	// restartAPIServer is a command, or nothing.
	restartAPIServer string

	// What one step leaves for another: how many of the logins under load were looked at, how often managers were started,
	// when the history server went, and the logins that were answered by a sidecar that then ran out of memory.
	judged         int
	restartsBefore string
	awaySince      time.Time
	answered       []string
}

// newCluster is the one that `make e2e` was given. Without one the test is skipped: it is `make test`.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("TEGATA_E2E_LOAD") == "" {
		t.Skip("not in pods: `make e2e` is for that (docs/CONTRIBUTING.md)")
	}
	c := &cluster{dir: checkout(t), restartAPIServer: os.Getenv("TEGATA_E2E_RESTART_APISERVER")}
	c.env = append(os.Environ(), "LOAD="+os.Getenv("TEGATA_E2E_LOAD"), "ARCH="+runtime.GOARCH, "INSTALL="+c.installFile(t))
	// Whatever is in a cluster that people use, the tests would break.
	if out, err := c.try("kubectl get crd relayusers.tegata.dev"); err == nil {
		t.Fatalf("Tegata is in this cluster already: the tests want one of their own\n%s", out)
	}
	if os.Getenv("KEEP") == "" {
		t.Cleanup(func() { c.clean(t) })
	}
	return c
}

// clean takes away whatever the tests have left, so that they can run again.
func (c *cluster) clean(t *testing.T) {
	const namespaces = "namespace/" + namespace + " namespace/gone namespace/monitoring namespace/" + systemNamespace
	for _, script := range []string{
		"kubectl delete apiservice v1alpha1.history.tegata.dev --ignore-not-found", // or no namespace can be deleted
		"kubectl delete " + namespaces + " clusterrolebinding/prometheus-tegata --ignore-not-found --wait=false",
		`for each in "dist/$INSTALL" dist/history-sqlite.yaml; do [ ! -e "$each" ] || kubectl delete -f "$each" --ignore-not-found --wait=false; done`,
		"kubectl wait " + namespaces + " --for=delete --timeout=3m",
	} {
		if out, err := c.try(script); err != nil {
			t.Logf("%v\n%s", err, out)
		}
	}
}

// installFile is what is applied to a cluster of this version.
func (c *cluster) installFile(t *testing.T) string {
	t.Helper()
	var answer struct {
		ServerVersion struct {
			GitVersion string `json:"gitVersion"`
		} `json:"serverVersion"`
	}
	c.read(t, &answer, "kubectl version -o json")
	t.Logf("Kubernetes %s", answer.ServerVersion.GitVersion)
	if utilversion.MustParseGeneric(answer.ServerVersion.GitVersion).LessThan(utilversion.MustParseGeneric("1.36")) {
		return "install-before-1.36.yaml"
	}
	return "install.yaml"
}

// checkout is a copy of this one, which the pages' commands may write into.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	copied := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c",
		`git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done | xargs -0 cp --parents -t "$0"`, dir)
	copied.Dir = repository
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("copy the checkout: %v\n%s", err, out)
	}
	return dir
}

// try runs a script as a person would type it, and returns what it prints.
func (c *cluster) try(script string, stdin ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), perCommand)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.Stdin = strings.NewReader(strings.Join(stdin, ""))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", script, err, &out, &errs)
	}
	return out.String(), nil
}

// run runs a script that must succeed.
func (c *cluster) run(t *testing.T, script string, stdin ...string) string {
	t.Helper()
	begun := time.Now()
	out, err := c.try(script, stdin...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("$ %s   (%.1f s)\n%s", script, time.Since(begun).Seconds(), abridged(out))
	return out
}

// read runs a script that prints JSON.
func (c *cluster) read(t *testing.T, into any, script string) {
	t.Helper()
	out, err := c.try(script)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
}

// abridged is the beginning of what was printed.
func abridged(out string) string {
	const bytes, lines = 2000, 30
	short := out[:min(len(out), bytes)]
	if parts := strings.SplitAfterN(short, "\n", lines+1); len(parts) > lines {
		short = strings.Join(parts[:lines], "")
	}
	if len(short) < len(out) {
		return short + "…"
	}
	return out
}

// eventually waits until a script succeeds and prints what is wanted.
func (c *cluster) eventually(t *testing.T, script string, wants ...string) string {
	t.Helper()
	begun := time.Now()
	var out string
	eventually(t, func() error {
		var err error
		if out, err = c.try(script); err != nil {
			return err
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				return fmt.Errorf("%s: no %q in\n%s", script, want, out)
			}
		}
		return nil
	})
	t.Logf("$ %s   (after %.1f s)\n%s", script, time.Since(begun).Seconds(), abridged(out))
	return out
}

// eventually waits until a check passes.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	ticks := time.NewTicker(300 * time.Millisecond)
	defer ticks.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", patience, err)
		}
		<-ticks.C
	}
}

// apply applies a manifest of testdata in the relays' namespace, with pairs of what it says and what it is to say.
func (c *cluster) apply(t *testing.T, name string, changes ...string) {
	t.Helper()
	c.applyIn(t, namespace, name, changes...)
}

func (c *cluster) applyIn(t *testing.T, in, name string, changes ...string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	c.run(t, "kubectl -n "+in+" apply -f -", strings.NewReplacer(changes...).Replace(string(content)))
}

// section runs what a page says there.
func (c *cluster) section(t *testing.T, p *page, title string) {
	t.Helper()
	for _, command := range commands(p.section(t, title)) {
		if run, why := adapted(command); why != "" {
			t.Logf("not run, because %s: %s", why, command)
		} else {
			c.run(t, run)
		}
	}
}

// edit changes a file of the copied checkout, as the pages tell the reader to.
func (c *cluster) edit(t *testing.T, name, from, to string) {
	t.Helper()
	path := filepath.Join(c.dir, name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, []byte(from)) {
		t.Fatalf("%s does not say %s", name, from)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(content, []byte(from), []byte(to)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// exec runs a program in a pod, and returns what it prints, also when it fails.
func (c *cluster) exec(t *testing.T, pod, stdin string, program ...string) string {
	t.Helper()
	arguments := slices.Concat([]string{"kubectl", "-n", namespace, "exec", "-i", pod, "--"}, program)
	for i := range arguments {
		arguments[i] = quoted(arguments[i])
	}
	out, err := c.try(strings.Join(arguments, " "), stdin)
	if err != nil {
		return err.Error()
	}
	return out
}

func quoted(argument string) string { return "'" + strings.ReplaceAll(argument, "'", `'\''`) + "'" }

// pods are the names of those with a label, in a namespace.
func (c *cluster) pods(t *testing.T, in, selector string) []string {
	t.Helper()
	return strings.Fields(c.run(t, fmt.Sprintf("kubectl -n %s get pods -l %s --field-selector=status.phase=Running -o jsonpath='{.items[*].metadata.name}'", in, selector)))
}

// tellAll prints what is needed to understand a failure.
func (c *cluster) tellAll(t *testing.T) {
	for _, script := range []string{
		"kubectl get pods -A -o wide",
		"kubectl get events -A --sort-by=.lastTimestamp | tail -40",
		"kubectl -n " + namespace + " get relayservers,deviceresets -o yaml",
		"for p in $(kubectl -n " + systemNamespace + " get pods -o name); do echo \"== $p\"; kubectl -n " + systemNamespace + " logs $p --all-containers --tail=40; done",
		"for p in $(kubectl -n " + namespace + " get pods -o name | grep -v /load); do echo \"== $p\"; kubectl -n " + namespace + " logs $p --all-containers --tail=40; done",
	} {
		out, err := c.try(script)
		t.Logf("$ %s\n%s\n%v", script, out, err)
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// firstVersion is what is upgraded from until there is a release: then it is the newest before this one.
const firstVersion = "0b72ea938d17f76390b62e791fdbf11c568459ab"

// install is what docs/install.md says for install, upgrade and rollback alike, in the tree of the version.
func install() []act {
	return []act{
		run("kubectl --context=admin apply --server-side -k config/default"),
		run("kubectl --context=admin wait crd --for=condition=Established --all --timeout=30s"),
		run("kubectl --context=admin apply --server-side --force-conflicts -k config/history"),
		startManager, startHistory, registerHistory,
		run("kubectl --context=admin wait apiservice/v1alpha1.history.tegata.dev --for=condition=Available --timeout=60s"),
	}
}

// TestUpgradeAndRollBack goes from the version before to this one and back, with the programs and the manifests of
// both: users, what is bound to them, their sessions, resets and the history are as they were each time.
func TestUpgradeAndRollBack(t *testing.T) {
	t.Parallel()
	present, before := presentVersion(t), versionBefore(t)
	c, err := newCluster(before, newScreen(t.Output()))
	if err != nil {
		t.Fatal(err)
	}
	c.lost = func(error) {} // programs end here all the time
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.logTails())
		}
		if err := c.stop(); err != nil {
			t.Error(err)
		}
	})
	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	do(t, c, "install the version before", append(install(),
		run("kubectl --context=admin apply -f hack/demo/alice.yaml"),
		run("kubectl apply -f config/samples/relayserver.yaml -f config/samples/relayuser-password.yaml -f config/samples/relayuser.yaml"),
		run("kubectl wait relayserver/asp1 relayuser/taro --for=condition=Ready --timeout=60s"),
		startSidecar,
		taro(oldPhone).succeeds(`"enrolled":true`),
		taro(newPhone).isRefused(),
		run("kubectl apply -f config/samples/devicereset.yaml"),
		run("kubectl wait -f config/samples/devicereset.yaml --for=condition=Complete --timeout=60s"),
		taro(newPhone).succeeds(`"enrolled":true`),
		eventually("kubectl get accessrecords", says("DeviceMismatch")),
	)...)
	kept, session := whatIsKept(t, c), newSession(t, c)

	for _, to := range []struct {
		name string
		tools
	}{{"upgrade", present}, {"roll back", before}, {"upgrade again", present}} {
		stopPrograms(t, c)
		c.tools = to.tools
		do(t, c, to.name, append(install(),
			run("kubectl wait relayserver/asp1 relayuser/taro --for=condition=Ready --timeout=60s"),
			startSidecar,
			run("kubectl wait relayserver/asp1 --for=condition=SidecarsLive --timeout=60s"),
			taro(newPhone).succeeds(`"enrolled":false`),
			taro(oldPhone).isRefused(),
			run("kubectl get deviceresets", says("Cleared")),
		)...)
		if diff := cmp.Diff(kept, whatIsKept(t, c)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", to.name, diff)
		}
		session.endsAt(t, c)
		session = newSession(t, c)
	}
}

// do is a part of the story without which the rest makes no sense.
func do(t *testing.T, c *cluster, title string, acts ...act) {
	t.Helper()
	if err := c.tell(t.Context(), []step{{title, acts}}); err != nil {
		t.Fatalf("%s: %v", title, err)
	}
}

// stopPrograms stops all but the control plane, as a Deployment does when it is upgraded. Their logs are put aside.
func stopPrograms(t *testing.T, c *cluster) {
	t.Helper()
	for _, p := range c.running() {
		if p.name != "manager" && p.name != "history" && p.name != "sidecar" {
			continue
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(p.LogPath(), p.LogPath()+".before"); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// whatIsKept is what no upgrade may change: by name, as it is printed.
func whatIsKept(t *testing.T, c *cluster) map[string]string {
	t.Helper()
	kept := map[string]string{}
	for name, line := range map[string]string{
		"the user":      `kubectl get relayuser taro -o jsonpath='{.metadata.uid} {.spec}'`,
		"bindings":      `kubectl get relayuser taro -o jsonpath='{range .status.slots[*]}{.slot} {.state} {.binding.id} {.binding.digest} {.binding.kind} {.binding.registeredTime} {.revoked} {.handledResets}{"\n"}{end}'`,
		"keys":          `kubectl --context=admin -n relays get secret asp1-keys -o jsonpath='{.metadata.uid} {.data}'`,
		"the reset":     `kubectl get deviceresets -o jsonpath='{.items[*].metadata.uid} {.items[*].status.completionTime}'`,
		"first records": `kubectl get accessrecords -o jsonpath='{range .items[*]}{.metadata.name} {.startTime} {.result} {.reason}{"\n"}{end}' | sort | head -n 3`,
	} {
		output, status, err := c.shell(t.Context(), line, t.Output())
		if err != nil || status != 0 || strings.TrimSpace(output) == "" {
			t.Fatalf("%s: status %d, %v: %q", line, status, err, output)
		}
		kept[name] = output
	}
	return kept
}

// loggedIn is a session that a login has returned.
type loggedIn struct{ ID, Token string }

func newSession(t *testing.T, c *cluster) loggedIn {
	t.Helper()
	output, _, err := c.shell(t.Context(), taro(newPhone).line(c), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	var reply struct{ Session loggedIn }
	if err := json.NewDecoder(strings.NewReader(output)).Decode(&reply); err != nil || reply.Session.Token == "" {
		t.Fatalf("no session: %v: %s", err, output)
	}
	return reply.Session
}

// endsAt logs out at the sidecar that runs now, which knows the session that another version began.
func (s loggedIn) endsAt(t *testing.T, c *cluster) {
	t.Helper()
	line := fmt.Sprintf(`curl -sS -X POST %s/v1/sessions/%s/end -H 'Authorization: Bearer %s' -w 'HTTP %%{http_code}'`, c.sidecarURL, s.ID, s.Token)
	if output, _, err := c.shell(t.Context(), line, t.Output()); err != nil || output != "HTTP 204" {
		t.Errorf("the session of the version before is answered %q, %v", output, err)
	}
}

// presentVersion is this tree and its programs.
func presentVersion(t *testing.T) tools {
	t.Helper()
	dir := buildPrograms(t)
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	assets, err := findAssets()
	if err != nil {
		t.Fatal(err)
	}
	return versionIn(root, dir, assets)
}

func versionIn(root, programs, assets string) tools {
	return tools{
		root: root, assets: assets,
		manager: filepath.Join(programs, "manager"), sidecar: filepath.Join(programs, "sidecar"),
		history: filepath.Join(programs, "history"), device: filepath.Join(programs, "device"),
		plugin: filepath.Join(programs, "kubectl-relay"),
	}
}

// versionBefore is the tree of the version before, out of Git, and its programs.
func versionBefore(t *testing.T) tools {
	t.Helper()
	assets, err := findAssets()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	commit := firstVersion
	if tag, err := git(t.Context(), "describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "HEAD^"); err == nil {
		commit = strings.TrimSpace(tag)
	}
	archive := filepath.Join(dir, "source.tar")
	if out, err := git(t.Context(), "archive", "--output="+archive, commit); err != nil {
		t.Skipf("*** NOT RUN: the version before, %s, is not in this clone: `git fetch --unshallow --tags` ***\n%s", commit, out)
	}
	root, programs := filepath.Join(dir, "source"), filepath.Join(dir, "bin")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", root).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v\n%s", commit, err, out)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", programs+"/",
		"./cmd/manager", "./cmd/sidecar", "./cmd/history", "./hack/demo/device")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", commit, err, out)
	}
	return versionIn(root, programs, assets)
}

func git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

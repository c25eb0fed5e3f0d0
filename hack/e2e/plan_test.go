package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// adaptation is how a command of a page is run here, or why it is not. What is not named runs as it stands.
type adaptation struct {
	command string
	run     string
	why     string // of not running it
}

// version stands for the pages' v0.1.0.
const version = "v0.0.0-e2e"

// adaptations are those of docs/install.md and of docs/history.md. LOAD, ARCH and the like are variables.
var adaptations = []adaptation{
	{command: "make images VERSION=v0.1.0", run: `make images VERSION=v0.1.0 ARCH="$ARCH"`},
	{command: "skopeo copy --all oci-archive:dist/images/tegata-manager.tar docker://registry.example.com/tegata-manager:v0.1.0",
		why: "there is no registry"},
	{command: "kind load image-archive dist/images/tegata-manager-amd64.tar",
		run: `for each in manager sidecar history; do $LOAD "dist/images/tegata-$each-$ARCH.tar"; done`},
	{command: "ctr -n k8s.io images import dist/images/tegata-manager-amd64.tar", why: "LOAD does it, whatever the cluster is"},
	{command: "docker load -i dist/images/tegata-manager-amd64.tar", why: "LOAD does it, whatever the cluster is"},
	{command: "kubectl apply --server-side -f dist/install.yaml",
		run: `kubectl apply --server-side -f "dist/$INSTALL"`},
	{command: "kubectl apply --server-side -f dist/install-before-1.36.yaml",
		why: "the line above it has run, with the file that is for this cluster's version"},
	{command: "helm install tegata dist/tegata-0.1.0.tgz --namespace tegata-system --create-namespace", why: "hack/release/chart does it"},
	{command: "kubectl label namespace tegata-system pod-security.kubernetes.io/enforce=restricted", why: "the file has the label; this is for Helm"},
	{command: "helm upgrade tegata dist/tegata-0.1.0.tgz --namespace tegata-system --reuse-values --set history.enabled=true", why: "hack/release/chart does it"},
	{command: "kubectl -n tegata-system get secret tegata-history-tls -o jsonpath='{.data.ca\\.crt}' | base64 -d > tls.crt", why: "it is for Helm"},
	{command: "kubectl -n tegata-system create secret generic tegata-history-postgres --from-file=dsn", why: "records are in SQLite here"},
}

// elsewhere are sections whose commands another test runs.
var elsewhere = map[string]string{
	"Upgrade": "hack/demo/upgrade_test.go, hack/release/chart/install_test.go",
}

// installation is what is run, section by section.
var installation = []struct{ page, section string }{
	{"install.md", "1. Images"},
	{"install.md", "2. Apply"},
	{"install.md", "3. Roles"},
	{"install.md", "4. A relay"},
	{"history.md", "Install it"},
}

// adapted is what is run for a command; nothing says that it is not.
func adapted(command string) (run, why string) {
	for _, a := range adaptations {
		if a.command == command {
			run, why = a.run, a.why
			return strings.ReplaceAll(run, "v0.1.0", version), why
		}
	}
	return strings.ReplaceAll(command, "v0.1.0", version), ""
}

// TestEveryCommandIsRun: no command of docs/install.md is forgotten, and none is excused that is not there.
func TestEveryCommandIsRun(t *testing.T) {
	covered := map[string]bool{}
	var found []string
	for _, part := range installation {
		covered[part.page+"#"+part.section] = true
		found = append(found, commands(readPage(t, part.page).section(t, part.section))...)
	}
	install := readPage(t, "install.md")
	for _, title := range install.order {
		if !covered["install.md#"+title] && elsewhere[title] == "" && len(commands(install.sections[title])) > 0 {
			t.Errorf("docs/install.md has commands in the section %q, which nothing runs: add it to installation", title)
		}
	}
	for _, a := range adaptations {
		if !slices.Contains(found, a.command) {
			t.Errorf("no page has the command %q any more: take it out of adaptations; there are:\n%s", a.command, strings.Join(found, "\n"))
		}
		if a.run == "" && a.why == "" {
			t.Errorf("%q: neither how it is run nor why not", a.command)
		}
	}
	if len(found) < 12 {
		t.Errorf("only %d commands were found: are they in blocks?\n%s", len(found), strings.Join(found, "\n"))
	}
}

// historyAnnotation is what docs/history.md puts into the template of a relay's pods.
func historyAnnotation(t *testing.T) string {
	t.Helper()
	_, after, found := strings.Cut(readPage(t, "history.md").section(t, "Install it"), "give the relay's pods the annotation")
	if annotation := block(t, after, "yaml"); found && strings.HasPrefix(annotation, "      annotations: {tegata.dev/history-address: ") {
		return annotation
	}
	t.Fatalf("docs/history.md does not say which annotation:\n%s", after)
	return ""
}

// importedHash is the hash of the sample password that docs/relayuser.md shows how to import.
func importedHash(t *testing.T) string {
	t.Helper()
	_, importing, _ := strings.Cut(readPage(t, "relayuser.md").section(t, "How to"), "### Import a password hash")
	return regexp.MustCompile(`\$argon2id\$[^"]*`).FindString(block(t, importing, "yaml"))
}

// keyCommands are those by which docs/relayserver.md adds a key and makes it the current one.
func keyCommands(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(commands(readPage(t, "relayserver.md").section(t, "What it does not do")), func(command string) bool {
		return !strings.HasPrefix(command, "kubectl patch secret asp1-keys")
	})
}

// TestPagesSayWhatIsTaken: what a page does not say any more, `make e2e` would miss after minutes.
func TestPagesSayWhatIsTaken(t *testing.T) {
	historyAnnotation(t)
	nginxConf(t)
	if importedHash(t) == "" {
		t.Error("docs/relayuser.md has no hash")
	}
	if keys := keyCommands(t); len(keys) != 2 {
		t.Errorf("docs/relayserver.md has commands for keys: %q, want 2", keys)
	}
	radius := readPage(t, "radius.md").section(t, "Set it up")
	if !strings.Contains(block(t, radius, "yaml"), "127.0.0.1/32") || !strings.Contains(block(t, radius, "sh"), "radclient -x 127.0.0.1:1812") {
		t.Error("docs/radius.md does not ask from this machine")
	}
	if len(inTables(readPage(t, "install.md").section(t, "Take it away"))) < 5 {
		t.Error("docs/install.md does not say how to take it away")
	}
}

func TestCommandsAreReadFromBlocks(t *testing.T) {
	text := "Words.\n\n    $ make x\n    printed  text\n\n    kubectl a   # a remark\n    kubectl b \\\n        --c\n\n" +
		"```sh\nkubectl d\n```\n```yaml\nno: command\n```\n| `kubectl e` then `kubectl f` | `kubectl g` |\n"
	if diff := cmp.Diff([]string{"kubectl d", "make x", "kubectl a", "kubectl b --c"}, commands(text)); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"kubectl e", "kubectl f"}, inTables(text)); diff != "" {
		t.Errorf("commands in tables (-want +got):\n%s", diff)
	}
}

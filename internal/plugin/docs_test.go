package plugin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tegata-dev/tegata/internal/plugin"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// written is a command as pages have it: in backquotes, or on a line of its own.
var written = regexp.MustCompile("(?m)(?:`|^ {4,}|^)kubectl relay ([^`\n|>#]+)|tells: kubectl relay ([^\"]+)\"")

// TestDocsNameVerbsAndFlagsThatThereAre: what somebody is told to type at night must be understood.
func TestDocsNameVerbsAndFlagsThatThereAre(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range append(pages, "../../README.md", "../../config/grafana/tegata.json") {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range written.FindAllStringSubmatch(string(content), -1) {
			found++
			check(t, path, strings.Fields(strings.TrimSuffix(match[1]+match[2], ".")))
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}

func check(t *testing.T, path string, words []string) {
	t.Helper()
	root := plugin.Command(shell.New(genericiooptions.NewTestIOStreamsDiscard()), "test")
	cmd, _, err := root.Find(words)
	if err != nil || cmd == root {
		t.Errorf("%s: kubectl relay %q: there is no such verb", path, words)
		return
	}
	for _, word := range words {
		flag, isFlag := strings.CutPrefix(word, "--")
		name, _, _ := strings.Cut(flag, "=")
		if isFlag && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
			t.Errorf("%s: kubectl relay %q: there is no flag --%s", path, words, name)
		}
	}
}

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const repository = "../.."

// page is a page of docs/, by its headings of the second level.
type page struct {
	name     string
	sections map[string]string
	order    []string
}

func readPage(t *testing.T, name string) *page {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	p := &page{name: name, sections: map[string]string{}}
	for i, part := range regexp.MustCompile(`(?m)^## `).Split(string(content), -1) {
		title, text, _ := strings.Cut(part, "\n")
		if i == 0 {
			title, text = "", part
		}
		p.sections[title] = text
		p.order = append(p.order, title)
	}
	return p
}

// section is one of the page's; its title must be there.
func (p *page) section(t *testing.T, title string) string {
	t.Helper()
	text, ok := p.sections[title]
	if !ok {
		t.Fatalf("docs/%s has no section %q; there are %q", p.name, title, p.order)
	}
	return text
}

// block is the first block of a language.
func block(t *testing.T, text, language string) string {
	t.Helper()
	match := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("there is no block of %s in:\n%s", language, text)
	}
	return match[1]
}

var (
	fenced = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)\n```$")
	remark = regexp.MustCompile(`\s+# .*$`)
)

// commands are those that a section has for a shell: blocks of sh, and blocks that are indented by four. Where lines of
// a block begin with $, the others are what these print.
func commands(text string) []string {
	var all []string
	for _, match := range fenced.FindAllStringSubmatch(text, -1) {
		if match[1] == "sh" {
			all = append(all, joined(strings.Split(match[2], "\n"))...)
		}
	}
	var indented []string
	for line := range strings.SplitSeq(fenced.ReplaceAllString(text, "")+"\n", "\n") {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			indented = append(indented, strings.TrimLeft(code, " ")) // one in a list is indented by more
			continue
		}
		all = append(all, joined(indented)...)
		indented = nil
	}
	return all
}

// joined puts lines together that end in a backslash, and takes remarks away.
func joined(lines []string) []string {
	prompted := false
	for _, line := range lines {
		prompted = prompted || strings.HasPrefix(line, "$ ")
	}
	var all []string
	going := false
	for _, line := range lines {
		command, isPrompt := strings.CutPrefix(line, "$ ")
		if !going && (strings.TrimSpace(command) == "" || prompted && !isPrompt) {
			continue
		}
		command = remark.ReplaceAllString(command, "")
		cut, more := strings.CutSuffix(command, `\`)
		if going {
			all[len(all)-1] += cut
		} else {
			all = append(all, cut)
		}
		going = more
	}
	return all
}

// inTables are the commands at the beginning of a table's rows: one or several, joined by "then".
func inTables(text string) []string {
	var all []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`kubectl [^|]*) \\|").FindAllStringSubmatch(text, -1) {
		for _, command := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			all = append(all, command[1])
		}
	}
	return all
}

// Package prometheus_test checks what is scraped, what somebody is woken for and the dashboard: with Prometheus's own
// tool, and against the metrics that the programs register.
package prometheus_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// programs is the directory of kubectl.
func programs(t *testing.T) string {
	t.Helper()
	dir, err := testenv.BinDir()
	if err != nil {
		skip(t, err.Error())
	}
	return dir
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// promtool is what it says, and whether it succeeded.
func promtool(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		skip(t, "promtool is missing: apt-get install prometheus")
	}
	output, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(output), err == nil
}

// manifests are what kustomize makes of a directory, by kind and name.
func manifests(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(programs(t), "kubectl"), "kustomize", dir)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("kubectl kustomize %s: %v\n%s", dir, err, stderr.String())
	}
	found := map[string][]byte{}
	for document := range strings.SplitSeq(stdout.String(), "\n---\n") {
		var meta struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
			t.Fatal(err)
		}
		found[meta.Kind+" "+meta.Metadata.Name] = []byte(document)
	}
	return found
}

// decode fails the test on fields that the operator does not know.
func decode(t *testing.T, document []byte, into any) {
	t.Helper()
	if len(document) == 0 {
		t.Fatal("there is no such object")
	}
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
}

// groups are the rules of both files.
func groups(t *testing.T) []monitoringv1.RuleGroup {
	t.Helper()
	var all []monitoringv1.RuleGroup
	for _, file := range []string{"rules.yaml", "alerts.yaml"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rule := &monitoringv1.PrometheusRule{}
		decode(t, content, rule)
		all = append(all, rule.Spec.Groups...)
	}
	return all
}

func alerts(t *testing.T) []monitoringv1.Rule {
	t.Helper()
	var all []monitoringv1.Rule
	for _, group := range groups(t) {
		for _, rule := range group.Rules {
			if rule.Alert != "" {
				all = append(all, rule)
			}
		}
	}
	return all
}

// writeRules writes a file as Prometheus reads it, without the object around it.
func writeRules(t *testing.T, path string, all []monitoringv1.RuleGroup) {
	t.Helper()
	content, err := yaml.Marshal(map[string]any{"groups": all})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkExpressions has Prometheus's parser read each.
func checkExpressions(t *testing.T, expressions map[string]string) {
	t.Helper()
	var rules []monitoringv1.Rule
	for name, expression := range expressions {
		rules = append(rules, monitoringv1.Rule{
			Record: "checked", Expr: intstr.FromString(expression), Labels: map[string]string{"where": name},
		})
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	writeRules(t, path, []monitoringv1.RuleGroup{{Name: "checked", Rules: rules}})
	if output, ok := promtool(t, "check", "rules", path); !ok {
		t.Errorf("Prometheus does not take an expression:\n%s", output)
	}
}

// exported are the metrics that each program registers, with their labels, as tests of the programs have found.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{"up": nil, "process_start_time_seconds": nil} // the second comes with the libraries
	for _, program := range []string{"manager", "sidecar", "history"} {
		content, err := os.ReadFile(filepath.Join("testdata", program+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.FieldsSeq(string(content)) {
			name, labels, _ := strings.Cut(strings.TrimSuffix(line, "}"), "{")
			found[name] = append(found[name], strings.Split(labels, ",")...)
		}
	}
	return found
}

var (
	quoted     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	selectors  = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)?\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)`)
	groupings  = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	ranges     = regexp.MustCompile(`\[[^\]]*\]|\boffset\s+\w+`)
	identifier = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	words      = regexp.MustCompile(`^(and|or|unless|bool|by|without|on|ignoring|group_left|group_right)$`)
	ofTarget   = regexp.MustCompile(`^(job|instance|namespace|pod|container|endpoint|service|le)$`)
	histogram  = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// checkMetrics fails the test unless each metric of an expression is recorded or exported, and has the labels that
// its selectors name.
func checkMetrics(t *testing.T, where, expression string) {
	t.Helper()
	known := exported(t)
	for _, group := range groups(t) {
		for _, rule := range group.Rules {
			if rule.Record != "" {
				known[rule.Record] = append(labelsOf(rule.Expr.StrVal), "namespace", "server")
			}
		}
	}
	plain := quoted.ReplaceAllString(expression, `""`)
	for _, selector := range selectors.FindAllStringSubmatch(plain, -1) {
		have, ok := known[selector[1]]
		if !ok {
			have, ok = known[histogram.ReplaceAllString(selector[1], "")]
		}
		if !ok {
			continue // which is told below
		}
		for _, label := range matcher.FindAllStringSubmatch(selector[2], -1) {
			if !slices.Contains(have, label[1]) && !ofTarget.MatchString(label[1]) {
				t.Errorf("%s: %s has no label %s", where, selector[1], label[1])
			}
		}
	}
	for _, name := range metricsOf(plain) {
		if _, ok := known[name]; !ok && known[histogram.ReplaceAllString(name, "")] == nil {
			t.Errorf("%s: nothing exports %s", where, name)
		}
	}
}

// metricsOf are the metrics that an expression without its strings names.
func metricsOf(plain string) []string {
	plain = groupings.ReplaceAllString(plain, "")
	plain = ranges.ReplaceAllString(plain, "")
	plain = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(plain, "")
	var names []string
	for _, word := range identifier.FindAllString(plain, -1) {
		if name := strings.TrimSpace(word); !strings.HasSuffix(name, "(") && !words.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}

// labelsOf are those that an expression groups by.
func labelsOf(expression string) []string {
	var labels []string
	for _, grouping := range groupings.FindAllStringSubmatch(expression, -1) {
		labels = append(labels, strings.FieldsFunc(grouping[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return labels
}

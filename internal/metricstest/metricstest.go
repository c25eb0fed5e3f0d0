// Package metricstest compares the metrics that a program registers with the list that rules, dashboard and docs are
// checked against: testdata/<program>.txt of config/prometheus.
//
// It is for tests alone.
package metricstest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// Registry takes the descriptions of what is registered, also of metrics that have no value yet.
type Registry struct{ descriptions []string }

// Register notes a collector's metrics.
func (r *Registry) Register(c prometheus.Collector) error {
	into := make(chan *prometheus.Desc)
	go func() {
		defer close(into)
		c.Describe(into)
	}()
	for d := range into {
		r.descriptions = append(r.descriptions, d.String())
	}
	return nil
}

// MustRegister notes them too.
func (r *Registry) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = r.Register(c) // never fails
	}
}

// Unregister does nothing.
func (*Registry) Unregister(prometheus.Collector) bool { return false }

var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: ".*", constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}\}$`)

// Metrics are the metrics whose names have one of the prefixes, as name{label,…}, in order.
func (r *Registry) Metrics(t *testing.T, prefixes ...string) []string {
	t.Helper()
	var all []string
	for _, each := range r.descriptions {
		match := description.FindStringSubmatch(each)
		if match == nil {
			t.Fatalf("cannot read %s", each)
		}
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(match[1], p) }) {
			continue
		}
		var labels []string
		for label := range strings.FieldsFuncSeq(match[2]+","+match[3], func(c rune) bool { return c == ',' || c == ' ' }) {
			name, _, _ := strings.Cut(label, "=")
			labels = append(labels, name)
		}
		slices.Sort(labels)
		all = append(all, match[1]+"{"+strings.Join(labels, ",")+"}")
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Compare fails the test unless the list of a program, in the repository at root, is what it registers. With
// UPDATE_METRICS=1 the list is written.
func Compare(t *testing.T, root, program string, metrics []string) {
	t.Helper()
	path := filepath.Join(root, "config", "prometheus", "testdata", program+".txt")
	text := strings.Join(metrics, "\n") + "\n"
	if os.Getenv("UPDATE_METRICS") == "1" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s is not what the program registers; run the test with UPDATE_METRICS=1, and see rules, dashboard and docs (-listed +registered):\n%s", path, diff)
	}
}

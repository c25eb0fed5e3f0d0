package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// startMonitoring has Prometheus watch all of it, by the role that docs/observability.md names.
func (c *cluster) startMonitoring(t *testing.T) {
	c.run(t, "kubectl apply -f -", readFile(t, "testdata/monitoring.yaml"))
	c.run(t, "kubectl create clusterrolebinding prometheus-tegata --clusterrole=tegata-metrics-reader --serviceaccount=monitoring:prometheus")
	files := map[string]string{"prometheus.yml": readFile(t, "testdata/prometheus.yml")}
	for _, name := range []string{"rules.yaml", "alerts.yaml"} {
		files[name] = impatient(t, readFile(t, filepath.Join(repository, "config/prometheus", name)))
	}
	list, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "prometheus", "namespace": "monitoring"}, "data": files,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.run(t, "kubectl apply -f -", string(list))
	c.run(t, "kubectl -n monitoring wait pod/prometheus --for=condition=Ready --timeout=2m")
	for job, pods := range map[string]int{"tegata-manager": 2, "tegata-sidecar": 5, "tegata-history": 1} {
		eventually(t, func() error {
			if up := c.query(t, fmt.Sprintf(`up{job=%q} == 1`, job)); len(up) != pods {
				return fmt.Errorf("%s: %d pods are watched, want %d", job, len(up), pods)
			}
			return nil
		})
	}
	c.neverAlerted(t, "TegataServerNotReady", "TegataRestarts", "TegataHistoryUnreachable", "TegataNoLeader", "TegataServerGone")
}

// impatient are a PrometheusRule's groups, with alerts that are told at once: a test cannot wait for minutes each time.
func impatient(t *testing.T, rule string) string {
	t.Helper()
	var object struct {
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(rule), &object); err != nil {
		t.Fatal(err)
	}
	groups, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^(\s+)(for|interval): \S+$`).ReplaceAllString(string(groups), "${1}${2}: 1s")
	return regexp.MustCompile(`offset 15m`).ReplaceAllString(text, "offset 15s")
}

// query is what Prometheus answers: the labels of each series.
func (c *cluster) query(t *testing.T, expression string) []map[string]string {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
			} `json:"result"`
		} `json:"data"`
	}
	out, err := c.try("kubectl get --raw '/api/v1/namespaces/monitoring/pods/prometheus:9090/proxy/api/v1/query?query=" + url.QueryEscape(expression) + "'")
	if err != nil {
		return nil // the API server may be away
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("Prometheus answers %s", out)
	}
	var found []map[string]string
	for _, series := range answer.Data.Result {
		found = append(found, series.Metric)
	}
	return found
}

// alerted waits until an alert was told, of a namespace if that is given.
func (c *cluster) alerted(t *testing.T, name string, labels ...string) {
	t.Helper()
	expression := fmt.Sprintf(`max_over_time(ALERTS{%s,alertstate="firing"}[1h])`, strings.Join(append(labels, fmt.Sprintf("alertname=%q", name)), ","))
	eventually(t, func() error {
		if len(c.query(t, expression)) == 0 {
			return fmt.Errorf("nobody was told %s", expression)
		}
		return nil
	})
	t.Logf("alert: %s %v", name, c.query(t, expression))
}

// neverAlerted: nobody was told by any of these alerts. One that is due may be over before: a sidecar that was started
// again is not fresh at once. One relay had no sidecars when it was new.
func (c *cluster) neverAlerted(t *testing.T, names ...string) {
	t.Helper()
	for _, alert := range c.query(t, `max_over_time(ALERTS{alertstate="firing"}[1h])`) {
		if slices.Contains(names, alert["alertname"]) && alert["namespace"] != "gone" {
			t.Errorf("somebody was told %v", alert)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

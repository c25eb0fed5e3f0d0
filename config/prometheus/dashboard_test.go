package prometheus_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type datasource struct{ Type, UID string }

// dashboard is what the tests look at of Grafana's model.
type dashboard struct {
	Title, UID string
	Panels     []struct {
		ID          int
		Type, Title string
		Datasource  *datasource
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct {
			Expr, LegendFormat string
			Datasource         *datasource
		}
	}
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Datasource             *datasource
		}
	}
	Annotations struct {
		List []struct {
			Expr       string
			Datasource *datasource
		}
	}
}

func readDashboard(t *testing.T) (dashboard, []byte) {
	t.Helper()
	content, err := os.ReadFile("../grafana/tegata.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	return d, content
}

// filled puts values in where Grafana does.
var filled = strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*", "$server", ".*")

var (
	legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)
	labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
)

// TestDashboard: Prometheus takes each expression, each metric is exported, and the data source is the one that is
// chosen on the page, whatever the cluster calls it.
func TestDashboard(t *testing.T) {
	d, _ := readDashboard(t)
	expressions := map[string]string{}
	check := func(where, expression string, from *datasource) {
		if from == nil || from.UID != "${datasource}" || from.Type != "prometheus" {
			t.Errorf("%s has the data source %+v", where, from)
		}
		expression = filled.Replace(expression)
		if strings.Contains(expression, "$") {
			t.Errorf("%s has a variable that there is not: %s", where, expression)
		}
		expressions[where] = expression
		checkMetrics(t, where, expression)
	}
	ids := map[int]bool{}
	for _, panel := range d.Panels {
		if ids[panel.ID] {
			t.Errorf("%s has the id of another panel", panel.Title)
		}
		ids[panel.ID] = true
		if panel.Type == "row" {
			continue
		}
		if len(panel.Targets) == 0 || panel.Datasource == nil {
			t.Errorf("%s shows nothing", panel.Title)
		}
		for i, target := range panel.Targets {
			where := fmt.Sprintf("%s, %d", panel.Title, i)
			check(where, target.Expr, target.Datasource)
			grouped := labelsOf(target.Expr)
			for _, label := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				if grouped != nil && !slices.Contains(grouped, label[1]) {
					t.Errorf("%s: its legend tells %s, which the expression does not group by", where, label[1])
				}
			}
		}
	}
	for _, variable := range d.Templating.List {
		if variable.Type == "datasource" {
			continue
		}
		parts := labelValues.FindStringSubmatch(variable.Definition)
		if parts == nil {
			t.Fatalf("variable %s: cannot read %s", variable.Name, variable.Definition)
		}
		check("variable "+variable.Name, parts[1], variable.Datasource)
	}
	checkExpressions(t, expressions)
	for _, annotation := range d.Annotations.List {
		checkExpressions(t, map[string]string{"annotation": annotation.Expr})
	}
}

// TestDashboardDoesNotOverlap: panels that lie on each other show one of them only.
func TestDashboardDoesNotOverlap(t *testing.T) {
	d, _ := readDashboard(t)
	taken := map[[2]int]string{}
	for _, panel := range d.Panels {
		at := panel.GridPos
		if at.W == 0 || at.H == 0 || at.X+at.W > 24 {
			t.Errorf("%s is at %+v", panel.Title, at)
		}
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies on %s", panel.Title, other)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
	}
}

// TestDashboardAnswersTheQuestions of the person on call.
func TestDashboardAnswersTheQuestions(t *testing.T) {
	_, content := readDashboard(t)
	for question, metric := range map[string]string{
		"who is being attacked":             "server:tegata_guesses:rate5m",
		"which reason rises":                "server_reason:tegata_denials:rate15m",
		"is a sidecar stale":                "tegata_sidecar_fresh",
		"is the spool filling":              "tegata_history_spool_limit_bytes",
		"are records being lost":            "tegata_history_lost_records_total",
		"does a reset hang":                 "tegata_device_reset_oldest_unfinished_seconds",
		"is a server without live sidecars": "tegata_relayserver_live_sidecars",
		"are credentials failing":           "tegata_relayusers",
		"does a certificate expire":         "tegata_certificate_expiry_timestamp_seconds",
		"are devices lost":                  "tegata_bindings_not_restored_users",
		"would they be":                     "tegata_binding_records_behind",
	} {
		if !bytes.Contains(content, []byte(metric)) {
			t.Errorf("%s? No panel has %s", question, metric)
		}
	}
}

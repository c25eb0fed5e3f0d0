package prometheus_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// alertCase is what an alert fires at, and what looks much like it and must leave it silent. Series have a value each
// minute, in promtool's notation.
type alertCase struct {
	at       string
	firing   []string
	want     string // the labels of the alert
	silent   []string
	silentAt string // as at, when empty
}

const asp1 = `namespace="relays",server="asp1"`

// attempts are logins at asp1.
func attempts(verdict, reason, values string) string {
	return fmt.Sprintf(`tegata_login_attempts_total{%s,listener="login",verdict=%q,reason=%q} %s`, asp1, verdict, reason, values)
}

var alertCases = map[string]alertCase{
	"TegataGuessing": {
		"25m", []string{attempts("deny", "UnknownUser", "0+120x30")}, asp1,
		// As much as every day; and people who mistype.
		[]string{attempts("deny", "UnknownUser", "0+120x1500"), attempts("deny", "PasswordMismatch", "0+2x1500")}, "24h30m",
	},
	"TegataReasonRises": {
		"40m", []string{attempts("deny", "DeviceMismatch", "0+6x60")}, asp1 + `,reason="DeviceMismatch"`,
		[]string{attempts("deny", "DeviceMismatch", "0+6x1500"), attempts("allow", "", "0+600x1500")}, "24h50m",
	},
	"TegataLoginsUndecided": {
		"15m", []string{attempts("deny", "ServerUnavailable", "0+1x20")}, asp1,
		[]string{attempts("deny", "PasswordMismatch", "0+1x20")}, "",
	},
	"TegataPasswordChecksRefused": {
		"15m", []string{`tegata_password_refused_total{` + asp1 + `,priority="ordinary"} 0+5x20`}, asp1,
		[]string{`tegata_password_refused_total{` + asp1 + `,priority="ordinary"} 7x20`}, "",
	},
	"TegataSidecarStale": {
		"5m", []string{`tegata_sidecar_fresh{` + asp1 + `,pod="a"} 1 0x5`}, asp1 + `,pod="a"`,
		[]string{`tegata_sidecar_fresh{` + asp1 + `,pod="a"} 1x5`}, "",
	},
	"TegataSidecarSilent": {
		"5m", []string{`tegata_directory_silence_seconds{` + asp1 + `,pod="a"} 0+60x5`}, asp1 + `,pod="a"`,
		[]string{`tegata_directory_silence_seconds{` + asp1 + `,pod="a"} 120x5`}, "",
	},
	"TegataSidecarDown": {
		"10m", []string{`up{job="tegata-sidecar",namespace="relays",pod="a"} 0x10`}, `job="tegata-sidecar",namespace="relays",pod="a"`,
		[]string{`up{job="tegata-sidecar",namespace="relays",pod="a"} 1x10`, `up{job="other",namespace="relays",pod="a"} 0x10`}, "",
	},
	"TegataRestarts": {
		"10m", []string{`process_start_time_seconds{job="tegata-sidecar",namespace="relays",pod="a"} 100x4 400x6`}, `job="tegata-sidecar",namespace="relays",pod="a"`,
		// One that is rolled is another pod.
		[]string{
			`process_start_time_seconds{job="tegata-sidecar",namespace="relays",pod="a"} 100x4 stale`,
			`process_start_time_seconds{job="tegata-sidecar",namespace="relays",pod="b"} _x3 400x6`,
			`process_start_time_seconds{job="other",namespace="relays",pod="a"} 100x4 400x6`,
		}, "",
	},
	"TegataServerWithoutSidecars": {
		"10m", []string{`tegata_relayserver_live_sidecars{` + asp1 + `,pod="m1"} 0x10`, `tegata_relayserver_live_sidecars{` + asp1 + `,pod="m2"} 0x10`}, asp1,
		// The one that stands by may lag.
		[]string{`tegata_relayserver_live_sidecars{` + asp1 + `,pod="m1"} 2x10`, `tegata_relayserver_live_sidecars{` + asp1 + `,pod="m2"} 0x10`}, "",
	},
	"TegataManagerDown": {
		"10m", []string{`up{job="tegata-manager",pod="m1"} 0x10`}, "",
		[]string{`up{job="tegata-manager",pod="m1"} 0x10`, `up{job="tegata-manager",pod="m2"} 1x10`}, "",
	},
	"TegataNoLeader": {
		"10m", []string{`leader_election_master_status{name="tegata-manager",pod="m1"} 0x10`}, "",
		[]string{`leader_election_master_status{name="tegata-manager",pod="m1"} 0x10`, `leader_election_master_status{name="tegata-manager",pod="m2"} 1x10`}, "",
	},
	"TegataReconcileFails": {
		"30m", []string{`controller_runtime_reconcile_errors_total{job="tegata-manager",controller="relayuser"} 0+1x30`}, `controller="relayuser"`,
		[]string{`controller_runtime_reconcile_errors_total{job="other",controller="relayuser"} 0+1x30`}, "",
	},
	"TegataServerNotReady": {
		"5m", []string{`tegata_relayserver_condition{` + asp1 + `,type="Ready"} 0x5`}, asp1,
		[]string{`tegata_relayserver_condition{` + asp1 + `,type="Ready"} 1x5`, `tegata_relayserver_condition{` + asp1 + `,type="SidecarsLive"} 0x5`}, "",
	},
	"TegataServerGone": {
		"25m", []string{`tegata_relayserver_condition{` + asp1 + `,type="Ready",pod="m1"} 0x19 stale`, `up{job="tegata-manager",pod="m1"} 1x25`}, asp1,
		// Nobody tells of it, or another does.
		[]string{
			`tegata_relayserver_condition{` + asp1 + `,type="Ready",pod="m1"} 1x19 stale`, `up{job="tegata-manager",pod="m1"} 1x19 0x6`,
			`tegata_relayserver_condition{namespace="relays",server="asp2",type="Ready",pod="m1"} 1x19 stale`,
			`tegata_relayserver_condition{namespace="relays",server="asp2",type="Ready",pod="m2"} 1x25`,
		}, "",
	},
	"TegataRADIUSNotReady": {
		"10m", []string{`tegata_relayserver_condition{` + asp1 + `,type="RADIUSReady"} 0x10`}, asp1,
		[]string{`tegata_relayserver_condition{` + asp1 + `,type="RADIUSReady"} 1x10`}, "",
	},
	"TegataUsersNotReady": {
		"20m", []string{`tegata_relayusers{` + asp1 + `,ready="False",reason="PasswordSecretNotFound"} 3x20`}, asp1 + `,reason="PasswordSecretNotFound"`,
		[]string{`tegata_relayusers{` + asp1 + `,ready="True",reason="UserReady"} 300x20`}, "",
	},
	"TegataResetHangs": {
		"30m", []string{`tegata_device_reset_oldest_unfinished_seconds{namespace="relays",reason="Enforcing"} 0+60x30`}, `namespace="relays",reason="Enforcing"`,
		[]string{`tegata_device_reset_oldest_unfinished_seconds{namespace="relays",reason="WaitingForUser"} 0+60x30`}, "",
	},
	"TegataBindingsNotRestored": {
		"10m", []string{`tegata_bindings_not_restored_users{pod="m1"} 2x10`, `tegata_bindings_not_restored_users{pod="m2"} 0x10`}, "",
		[]string{`tegata_bindings_not_restored_users{pod="m1"} 2 0x10`}, "",
	},
	"TegataBindingRecordsBehind": {
		"15m", []string{`tegata_binding_records_behind{pod="m1"} 1x15`, `tegata_binding_records_behind{pod="m2"} 0x15`}, "",
		// Now one user, now another, each for a moment.
		[]string{`tegata_binding_records_behind{pod="m1"} 1 1 1 0 1 1 1 0 1 1 1 0 1 1 1 0`}, "",
	},
	"TegataBindingsRestored": {
		"10m", []string{`tegata_bindings_restored_total{pod="m1"} 0x5 1x5`}, "",
		// A day ago there was a restore.
		[]string{`tegata_bindings_restored_total{pod="m1"} 5x60`}, "50m",
	},
	"TegataRecordsLost": {
		"10m", []string{`tegata_history_lost_records_total{` + asp1 + `,cause="full"} 0x5 1x5`}, asp1 + `,cause="full"`,
		[]string{`tegata_history_lost_records_total{` + asp1 + `,cause="full"} 5x60`}, "50m",
	},
	"TegataHistoryIncomplete": {
		"20m", []string{`tegata_relayserver_condition{` + asp1 + `,type="HistoryComplete"} 0x20`}, asp1,
		[]string{`tegata_relayserver_condition{` + asp1 + `,type="HistoryComplete"} 1x20`}, "",
	},
	"TegataSpoolFills": {
		"10m", []string{`tegata_history_spooled_bytes{` + asp1 + `,pod="a"} 60x10`, `tegata_history_spool_limit_bytes{` + asp1 + `,pod="a"} 100x10`}, asp1 + `,pod="a"`,
		// Another has no spool, and keeps a few records in memory.
		[]string{
			`tegata_history_spooled_bytes{` + asp1 + `,pod="a"} 40x10`, `tegata_history_spool_limit_bytes{` + asp1 + `,pod="a"} 100x10`,
			`tegata_history_spooled_bytes{` + asp1 + `,pod="b"} 40x10`, `tegata_history_spool_limit_bytes{` + asp1 + `,pod="b"} 0x10`,
		}, "",
	},
	"TegataRecordsWait": {
		"20m", []string{`tegata_history_oldest_seconds{` + asp1 + `,pod="a"} 0+60x20`}, asp1 + `,pod="a"`,
		[]string{`tegata_history_oldest_seconds{` + asp1 + `,pod="a"} 60x20`}, "",
	},
	"TegataHistoryRefusesSidecars": {
		"30m", []string{`tegata_history_send_failures_total{` + asp1 + `,status="403"} 0+1x30`}, asp1 + `,status="403"`,
		[]string{`tegata_history_send_failures_total{` + asp1 + `,status="503"} 0+1x30`}, "",
	},
	"TegataHistoryUnreachable": {
		// It was away from the fifth to the sixth minute.
		"9m", []string{`tegata_history_send_failures_total{` + asp1 + `,status="0"} 0x4 5 9 9x10`}, asp1,
		[]string{`tegata_history_send_failures_total{` + asp1 + `,status="403"} 0+1x11`, `tegata_history_send_failures_total{` + asp1 + `,status="503"} 7x11`}, "",
	},
	"TegataHistoryDown": {
		"10m", []string{`up{job="tegata-history",pod="h"} 0x10`}, `job="tegata-history",pod="h"`,
		[]string{`up{job="tegata-history",pod="h"} 1x10`}, "",
	},
	"TegataHistoryStoreFails": {
		"15m", []string{`tegata_history_batches_total{outcome="failed"} 0+1x15`}, "",
		[]string{`tegata_history_batches_total{outcome="kept"} 0+1x15`, `tegata_history_batches_total{outcome="failed"} 0x15`}, "",
	},
	"TegataHistoryOverQuota": {
		"30m", []string{`tegata_history_batches_total{pod="h",outcome="over-quota"} 0+1x30`, `tegata_history_batches_total{pod="h",outcome="kept"} 0+9x30`}, `pod="h"`,
		// Once; and one that is busy.
		[]string{`tegata_history_batches_total{pod="h",outcome="over-quota"} 0 3x30`, `tegata_history_batches_total{pod="h",outcome="busy"} 0+1x30`}, "",
	},
	"TegataHistoryClockOff": {
		"10m", []string{`tegata_history_clock_offset_seconds{pod="h"} -400x10`}, `pod="h"`,
		[]string{`tegata_history_clock_offset_seconds{pod="h"} 200x10`, `tegata_history_clock_offset_seconds{pod="i"} -200x10`}, "",
	},
	"TegataHistoryHousekeepingFails": {
		"3h", []string{`tegata_history_housekeeping_total{task="retention",outcome="failed"} 0+1x180`}, `task="retention"`,
		[]string{`tegata_history_housekeeping_total{task="retention",outcome="done"} 0+1x180`}, "",
	},
	"TegataCertificateExpiresSoon": {
		"2h", []string{`tegata_certificate_expiry_timestamp_seconds{` + asp1 + `,pod="a",certificate="listener"} 500000x120`}, asp1 + `,pod="a",certificate="listener"`,
		[]string{`tegata_certificate_expiry_timestamp_seconds{` + asp1 + `,pod="a",certificate="listener"} 5000000x120`}, "",
	},
	"TegataCertificateExpired": {
		"10m", []string{`tegata_certificate_expiry_timestamp_seconds{` + asp1 + `,pod="a",certificate="listener"} 0x10`}, asp1 + `,pod="a",certificate="listener"`,
		[]string{`tegata_certificate_expiry_timestamp_seconds{` + asp1 + `,pod="a",certificate="listener"} 500000x10`}, "",
	},
}

// TestAlertsFire has Prometheus evaluate each alert on what it is for, and on what it is not for.
func TestAlertsFire(t *testing.T) {
	dir := t.TempDir()
	writeRules(t, filepath.Join(dir, "rules.yaml"), groups(t))
	tests := map[bool][]map[string]any{}
	severities := map[string]string{}
	for _, alert := range alerts(t) {
		tc, ok := alertCases[alert.Alert]
		if !ok {
			t.Errorf("%s is not tested", alert.Alert)
			continue
		}
		severities[alert.Alert] = alert.Labels["severity"]
		labels := strings.Trim(fmt.Sprintf(`alertname=%q,alertstate="firing",severity=%q,%s`, alert.Alert, alert.Labels["severity"], tc.want), ",")
		tests[false] = append(tests[false],
			unitTest(alert.Alert+" fires", alert.Alert, tc.at, tc.firing, []map[string]any{{"labels": "ALERTS{" + labels + "}", "value": 1}}))
		long := tc.silentAt != ""
		tests[long] = append(tests[long], unitTest(alert.Alert+" is silent", alert.Alert, cmp.Or(tc.silentAt, tc.at), tc.silent, nil))
	}
	for name := range alertCases {
		if severities[name] == "" {
			t.Errorf("there is no alert %s", name)
		}
	}
	for long, interval := range map[bool]string{false: "1m", true: "5m"} { // a day takes Prometheus its time
		content, err := yaml.Marshal(map[string]any{"rule_files": []string{"rules.yaml"}, "evaluation_interval": interval, "tests": tests[long]})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, interval+".yaml")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if output, ok := promtool(t, "test", "rules", path); !ok {
			t.Error(output)
		}
	}
}

func unitTest(name, alert, at string, series []string, want []map[string]any) map[string]any {
	var input []map[string]any
	for _, each := range series {
		labels, values, _ := strings.Cut(each, "} ")
		input = append(input, map[string]any{"series": labels + "}", "values": values})
	}
	return map[string]any{
		"name": name, "interval": "1m", "input_series": input,
		"promql_expr_test": []map[string]any{{
			"expr": fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing"}`, alert), "eval_time": at, "exp_samples": want,
		}},
	}
}

var labelUsed = regexp.MustCompile(`\$labels\.(\w+)`)

// TestAlertsSayWhatToDo: each has a severity, words that can be filled in, and its place in the docs.
func TestAlertsSayWhatToDo(t *testing.T) {
	page, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	const runbooks = "https://github.com/tegata-dev/tegata/blob/main/docs/alerts.md#"
	for _, alert := range alerts(t) {
		if s := alert.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s has the severity %q", alert.Alert, s)
		}
		if want := runbooks + strings.ToLower(alert.Alert); alert.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, want %q", alert.Alert, alert.Annotations["runbook_url"], want)
		}
		if !strings.Contains(string(page), "\n### "+alert.Alert+"\n") {
			t.Errorf("docs/alerts.md has no heading %s", alert.Alert)
		}
		have := alertCases[alert.Alert].want
		for _, text := range []string{"summary", "description"} {
			if alert.Annotations[text] == "" {
				t.Errorf("%s has no %s", alert.Alert, text)
			}
			for _, used := range labelUsed.FindAllStringSubmatch(alert.Annotations[text], -1) {
				if !strings.Contains(","+have, ","+used[1]+"=") && !ofTarget.MatchString(used[1]) {
					t.Errorf("%s: its %s tells $labels.%s, which it does not have", alert.Alert, text, used[1])
				}
			}
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^### (Tegata\w+)$`).FindAllStringSubmatch(string(page), -1) {
		if _, ok := alertCases[match[1]]; !ok {
			t.Errorf("docs/alerts.md tells of %s, which there is not", match[1])
		}
	}
}

// TestRulesNameWhatIsExported: a metric that was renamed would leave its alert silent for ever.
func TestRulesNameWhatIsExported(t *testing.T) {
	expressions := map[string]string{}
	for _, group := range groups(t) {
		for _, rule := range group.Rules {
			expressions[rule.Alert+rule.Record] = rule.Expr.StrVal
			checkMetrics(t, rule.Alert+rule.Record, rule.Expr.StrVal)
		}
	}
	checkExpressions(t, expressions)
}

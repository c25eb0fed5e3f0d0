package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestLint is `helm lint --strict`.
func TestLint(t *testing.T) {
	lint := action.NewLint()
	lint.Strict, lint.Namespace = true, namespace
	result := lint.Run([]string{chartDir}, values(t, "history: {enabled: true}"))
	for _, err := range result.Errors {
		t.Error(err)
	}
	if result.TotalChartsLinted != 1 {
		t.Errorf("%d charts were looked at", result.TotalChartsLinted)
	}
}

// TestSchemaRefuses what would otherwise be ignored, or make an install that does not work.
func TestSchemaRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"a value that there is not":         "managr: {replicas: 3}",
		"one further in":                    "manager: {replica: 3}",
		"a word for a number":               "manager: {replicas: three}",
		"another store":                     "history: {store: mysql}",
		"a certificate from elsewhere":      "history: {tls: {source: magic}}",
		"a CA that is no PEM":               "history: {tls: {caBundle: abcdef}}",
		"a key beside the CA":               `history: {tls: {caBundle: "-----BEGIN CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----"}}`,
		"a class with more beside it":       `manager: {priorityClassName: "high\nhostPID: true"}`,
		"a storage class that is none":      `history: {sqlite: {storageClassName: "fast\nvolumeName: theirs"}}`,
		"a size without a unit that is one": "history: {sqlite: {size: 10GB}}",
		"no port of the API server":         "networkPolicies: {apiServerPorts: []}",
		"a port that is none":               "networkPolicies: {apiServerPorts: [70000]}",
		"metrics from everywhere":           "networkPolicies: {metricsFrom: null}",
		"metrics from no label":             "networkPolicies: {metricsFrom: {metrics: null}}",
		"no store":                          "history: {store: null}",
		"no certificate":                    "history: {tls: {source: null}}",
		"a tag that is none":                `image: {tag: "a b"}`,
		"a prefix that is a pattern":        `image: {prefix: "$1/"}`,
		"an argument that is no flag":       "manager: {args: [sh]}",
		"a switch that is neither":          "since136: maybe",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := templates(t, text, namespace, newest)
			if err == nil || !strings.Contains(err.Error(), "values don't meet the specifications") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// imagesIn finds every field image, wherever it is.
func imagesIn(value any) []string {
	var found []string
	switch v := value.(type) {
	case map[string]any:
		if image, ok := v["image"].(string); ok {
			found = append(found, image)
		}
		for _, inner := range v {
			found = append(found, imagesIn(inner)...)
		}
	case []any:
		for _, inner := range v {
			found = append(found, imagesIn(inner)...)
		}
	}
	return found
}

func TestImages(t *testing.T) {
	for name, tc := range map[string]struct{ values, want string }{
		"of the chart":          {"{}", "ghcr.io/tegata-dev/tegata-manager:latest"},
		"of a mirror":           {"image: {prefix: registry.example.com:5000/t/, tag: v9}", "registry.example.com:5000/t/manager:v9"},
		"named by their digest": {"manager: {image: registry.example.com/m@sha256:abc}", "registry.example.com/m@sha256:abc"},
	} {
		t.Run(name, func(t *testing.T) {
			all := helmed(t, tc.values, namespace, newest)
			if diff := cmp.Diff([]string{tc.want}, imagesIn(all["Deployment "+namespace+"/tegata-manager"])); diff != "" {
				t.Errorf("the manager's (-want +got):\n%s", diff)
			}
			for key, object := range all {
				for _, image := range imagesIn(object) {
					if strings.Contains(tc.values, "prefix") && !strings.HasPrefix(image, "registry.example.com:5000/t/") {
						t.Errorf("%s has %s", key, image)
					}
				}
			}
		})
	}
}

// TestAnotherNamespace: nothing is left in, or speaks of, the one in config/.
func TestAnotherNamespace(t *testing.T) {
	for name, values := range map[string]string{
		"generated":    "history: {enabled: true}\nprometheus: {enabled: true}",
		"cert-manager": "history: {enabled: true, store: postgres, tls: {source: cert-manager}}",
	} {
		t.Run(name, func(t *testing.T) {
			rendered, err := templates(t, values, "elsewhere", newest)
			if err != nil {
				t.Fatal(err)
			}
			for file, text := range rendered {
				if strings.Contains(text, namespace) && !strings.HasSuffix(file, "NOTES.txt") {
					t.Errorf("%s speaks of %s", file, namespace)
				}
			}
			if want := helmed(t, values, "elsewhere", newest)["Deployment elsewhere/tegata-history"]; want == nil {
				t.Error("the history server is not there")
			}
		})
	}
}

// TestEverySwitch turns each thing off that can be, and sets each value that is empty by default.
func TestEverySwitch(t *testing.T) {
	all := helmed(t, `
crds: {enabled: false}
since136: false
networkPolicies: {enabled: false}
prometheus: {enabled: true, labels: {release: stack}}
image: {pullSecrets: [{name: pull}]}
manager: &placed
  args: [--log-level=debug]
  nodeSelector: {disk: ssd}
  tolerations: [{key: dedicated, operator: Exists}]
  affinity: {nodeAffinity: {}}
  priorityClassName: high
  resources: {requests: null, limits: {memory: 2Gi}}
history:
  <<: *placed
  resources: {limits: {memory: 2Gi}}
  enabled: true
  sqlite: {size: 1Gi, storageClassName: fast}
  tls: {source: secret, caBundle: "-----BEGIN CERTIFICATE-----"}
`, namespace, newest)
	for key := range all {
		if regexp.MustCompile("^(CustomResourceDefinition|NetworkPolicy|Mutating)").MatchString(key) {
			t.Errorf("there is %s", key)
		}
	}
	for _, name := range []string{"manager", "history"} {
		spec := podSpec(t, all["Deployment "+namespace+"/tegata-"+name])
		containers, _ := spec["containers"].([]any)
		container, _ := containers[0].(map[string]any)
		args, _ := container["args"].([]any)
		got := map[string]any{
			"pullSecrets": spec["imagePullSecrets"], "nodeSelector": spec["nodeSelector"], "tolerations": spec["tolerations"],
			"affinity": spec["affinity"], "priority": spec["priorityClassName"], "resources": container["resources"], "arg": args[len(args)-1],
		}
		want := map[string]any{
			"pullSecrets": []any{map[string]any{"name": "pull"}}, "nodeSelector": map[string]any{"disk": "ssd"},
			"tolerations": []any{map[string]any{"key": "dedicated", "operator": "Exists"}}, "affinity": map[string]any{"nodeAffinity": map[string]any{}},
			"priority": "high", "resources": map[string]any{"limits": map[string]any{"memory": "2Gi"}}, "arg": "--log-level=debug",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for key, object := range all {
		labels := (&unstructured.Unstructured{Object: object}).GetLabels()
		watched := object["apiVersion"] == "monitoring.coreos.com/v1"
		if (labels["release"] == "stack") != watched || labels["app.kubernetes.io/part-of"] != "tegata" {
			t.Errorf("%s has the labels %v", key, labels)
		}
	}
	spec, _ := all["PersistentVolumeClaim "+namespace+"/tegata-history"]["spec"].(map[string]any)
	if spec["storageClassName"] != "fast" {
		t.Errorf("the claim is %v", spec)
	}
	spec, _ = all["APIService /v1alpha1.history.tegata.dev"]["spec"].(map[string]any)
	if spec["caBundle"] != "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t" {
		t.Errorf("the APIService is %v", spec)
	}
}

func podSpec(t *testing.T, deployment map[string]any) map[string]any {
	t.Helper()
	value := any(deployment)
	for _, field := range []string{"spec", "template", "spec"} {
		inner, ok := value.(map[string]any)
		if !ok {
			t.Fatalf("a Deployment has no %s", field)
		}
		value = inner[field]
	}
	spec, _ := value.(map[string]any)
	return spec
}

// TestNotes say what is left to do, and nothing of what is not there.
func TestNotes(t *testing.T) {
	for name, tc := range map[string]struct {
		values, kubeVersion string
		want, wantNot       []string
	}{
		"plain":        {"{}", newest, []string{"rollout status", "helm uninstall"}, []string{"history", "1.36"}},
		"before 1.36":  {"{}", "v1.35.0", []string{"requestedBy"}, nil},
		"history":      {"history: {enabled: true}", newest, []string{"create configmap tegata-history-ca"}, []string{"waits for the Secret"}},
		"own secret":   {"history: {enabled: true, tls: {source: secret}}", newest, []string{"waits for the Secret"}, []string{"create configmap"}},
		"without CRDs": {"crds: {enabled: false}", newest, nil, []string{"helm uninstall"}},
	} {
		t.Run(name, func(t *testing.T) {
			rendered, err := templates(t, tc.values, namespace, tc.kubeVersion)
			if err != nil {
				t.Fatal(err)
			}
			notes := rendered["tegata/templates/NOTES.txt"]
			for _, want := range tc.want {
				if !strings.Contains(notes, want) {
					t.Errorf("%q is missing in\n%s", want, notes)
				}
			}
			for _, not := range tc.wantNot {
				if strings.Contains(notes, not) {
					t.Errorf("%q is in\n%s", not, notes)
				}
			}
		})
	}
}

// TestEveryValueIsExplained: README.md has a row for each, and for none that there is not.
func TestEveryValueIsExplained(t *testing.T) {
	readme, err := os.ReadFile(chartDir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]*) \|`).FindAllStringSubmatch(string(readme), -1) {
		for _, value := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[1], -1) {
			explained[value[1]] = false
		}
	}
	var walk func(prefix string, value any)
	walk = func(prefix string, value any) {
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
			if _, there := explained[prefix]; !there {
				for name, value := range inner {
					walk(strings.TrimPrefix(prefix+"."+name, "."), value)
				}
				return
			}
		}
		if _, there := explained[prefix]; !there {
			t.Errorf("%s has no row", prefix)
		}
		explained[prefix] = true
	}
	walk("", loadChart(t).Values)
	for value, there := range explained {
		if !there {
			t.Errorf("there is no value %s", value)
		}
	}
}

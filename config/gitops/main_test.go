// Package gitops_test has what GitOps tools read the kinds by read real objects, at every stage that real controllers
// bring them to: kstatus and Flux's expressions as libraries, Argo CD's health checks by a Lua interpreter.
package gitops_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	fluxcel "github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/controllers"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// soon is how long what should happen at once may take on a busy machine.
const soon = time.Minute

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// world is a namespace of the shared control plane.
type world struct {
	*testing.T
	env       *testenv.Env
	namespace string
	stop      func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env := testenv.Shared(t)
	return &world{T: t, env: env, namespace: env.Namespace(t)}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// startManager runs the manager as it is shipped, with the permissions that it is shipped with.
func (w *world) startManager() {
	w.Helper()
	caches, err := controllers.CacheOptions([]string{w.namespace})
	w.must(err)
	mgr, err := ctrl.NewManager(w.env.ServiceAccountConfig(w.T, "tegata-system", "tegata-manager"), ctrl.Options{
		Scheme: w.env.Scheme, Cache: caches, Client: client.Options{FieldOwner: controllers.FieldOwner},
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	w.must(controllers.Setup(ctx, mgr, controllers.Options{CountDelay: 50 * time.Millisecond, SkipNameValidation: true}))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	w.stop = func() {
		if cancel == nil {
			return
		}
		cancel()
		cancel = nil
		if err := <-done; err != nil {
			w.Errorf("manager: %v", err)
		}
	}
	w.Cleanup(w.stop)
}

func (w *world) create(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		w.must(w.env.Client.Create(w.Context(), object))
	}
}

// get reads an object as tools do.
func (w *world) get(kind, name string) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return object, w.env.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, object)
}

// reading is what each tool makes of an object.
type reading struct{ kstatus, flux, argo string }

var (
	notYet  = reading{"InProgress", "InProgress", "Progressing"}
	good    = reading{"Current", "Current", "Healthy"}
	failed  = reading{"Failed", "Failed", "Degraded"}
	blocked = reading{"InProgress", "Failed", "Degraded"} // kstatus knows no failure that is not Stalled
)

// read has each tool read an object.
func (w *world) read(kind, name string) (reading, *unstructured.Unstructured, error) {
	object, err := w.get(kind, name)
	if err != nil {
		return reading{}, nil, err
	}
	generic, err := status.Compute(object)
	if err != nil {
		return reading{}, nil, err
	}
	flux, err := fluxHealth(w.T, object)
	if err != nil {
		return reading{}, nil, err
	}
	argo, err := argoHealth(w.T, object)
	return reading{string(generic.Status), flux, argo}, object, err
}

// reads waits until all tools read an object so, and its condition has the reason.
func (w *world) reads(stage, kind, name, reason string, want reading) {
	w.Helper()
	testenv.Eventually(w, soon, func() error {
		got, object, err := w.read(kind, name)
		if err != nil {
			return fmt.Errorf("%s: %w", stage, err)
		}
		if reason != "" && !hasReason(object, reason) {
			return fmt.Errorf("%s: %s %s has no condition with the reason %s: %v", stage, kind, name, reason, object.Object["status"])
		}
		if got != want {
			return fmt.Errorf("%s: %s %s is read as %+v, want %+v; status %v", stage, kind, name, got, want, object.Object["status"])
		}
		return nil
	})
	w.Logf("%-52s %-11s %s", stage, kind, fmt.Sprint(want))
}

func hasReason(object *unstructured.Unstructured, reason string) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, each := range conditions {
		if condition, ok := each.(map[string]any); ok && condition["reason"] == reason {
			return true
		}
	}
	return false
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

// fluxHealth is what Flux says, by the example's expressions.
func fluxHealth(t *testing.T, object *unstructured.Unstructured) (string, error) {
	t.Helper()
	content, err := os.ReadFile("flux/relays.yaml")
	if err != nil {
		return "", err
	}
	var example struct {
		Spec struct {
			HealthCheckExprs []kustomize.CustomHealthCheck
		}
	}
	if err := yaml.Unmarshal(lastDocument(content), &example); err != nil {
		return "", err
	}
	for i := range example.Spec.HealthCheckExprs {
		check := &example.Spec.HealthCheckExprs[i]
		if check.Kind != object.GetKind() || check.APIVersion != object.GetAPIVersion() {
			continue
		}
		evaluator, err := fluxcel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return "", err
		}
		result, err := evaluator.Evaluate(t.Context(), object)
		if err != nil {
			return "", err
		}
		return string(result.Status), nil
	}
	return "", fmt.Errorf("flux/relays.yaml has no expressions for %s", object.GetKind())
}

// argoHealth is what Argo CD says, by the health check of the kind.
func argoHealth(t *testing.T, object *unstructured.Unstructured) (string, error) {
	t.Helper()
	var configMap struct{ Data map[string]string }
	readYAML(t, "argocd/health.yaml", &configMap)
	script := configMap.Data["resource.customizations.health.tegata.dev_"+object.GetKind()]
	if script == "" {
		return "", fmt.Errorf("argocd/health.yaml has no check for %s", object.GetKind())
	}
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	l.Push(l.NewFunction(lua.OpenBase))
	l.Push(lua.LString(lua.BaseLibName))
	l.Call(1, 0)
	l.SetGlobal("obj", luaValue(l, object.Object))
	if err := l.DoString(script); err != nil {
		return "", err
	}
	result, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		return "", errors.New("the health check returns no table")
	}
	if message := result.RawGetString("message"); message.Type() != lua.LTString {
		return "", fmt.Errorf("the health check's message is %s", message)
	}
	return result.RawGetString("status").String(), nil
}

// luaValue is a value of JSON as Argo CD gives it to Lua.
func luaValue(l *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case []any:
		table := l.NewTable()
		for _, each := range v {
			table.Append(luaValue(l, each))
		}
		return table
	case map[string]any:
		table := l.NewTable()
		for name, each := range v {
			table.RawSetString(name, luaValue(l, each))
		}
		return table
	}
	return lua.LNil
}

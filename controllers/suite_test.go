package controllers_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/controllers"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// soon is how long what should happen at once may take on a busy machine.
const soon = time.Minute

// world is a namespace of the shared control plane, with a manager that works in it.
type world struct {
	*testing.T
	env       *testenv.Env
	namespace string
}

// newWorld makes a namespace without a manager.
func newWorld(t *testing.T) *world {
	t.Helper()
	env := testenv.Shared(t)
	return &world{T: t, env: env, namespace: env.Namespace(t)}
}

// managedWorld makes a namespace and starts a manager in it.
func managedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.startManager()
	return w
}

// managerConfig is the identity of the manager as it is shipped, with the permissions that it is shipped with.
func managerConfig(t *testing.T, env *testenv.Env) *rest.Config {
	t.Helper()
	return env.ServiceAccountConfig(t, "tegata-system", "tegata-manager")
}

// startManager runs a manager until the returned function is called, or the test ends. It waits for nothing
// longer than a test likes to.
func (w *world) startManager() (stop func()) {
	w.Helper()
	options := controllers.Options{
		CountDelay: 100 * time.Millisecond,
		SweepDelay: 50 * time.Millisecond, SweepAge: 200 * time.Millisecond,
		PodDelay: 20 * time.Millisecond, PodGrace: 500 * time.Millisecond,
		SkipNameValidation: true,
	}
	caches, err := controllers.CacheOptions([]string{w.namespace})
	w.must(err)
	mgr, err := ctrl.NewManager(managerConfig(w.T, w.env), ctrl.Options{
		Scheme: w.env.Scheme, Cache: caches, Client: client.Options{FieldOwner: controllers.FieldOwner},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{ReconciliationTimeout: 2 * time.Minute},
	})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	w.must(controllers.Setup(ctx, mgr, options))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.Errorf("manager: %v", err)
		}
	}
	w.Cleanup(stop)
	return stop
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) create(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		w.must(w.env.Client.Create(w.Context(), object))
	}
}

func (w *world) delete(object client.Object) {
	w.Helper()
	w.must(w.env.Client.Delete(w.Context(), object))
}

// edit changes an object as kubectl edit or apply would, whoever else writes it meanwhile.
func edit[T client.Object](w *world, object T, mutate func(T)) {
	w.Helper()
	before, ok := object.DeepCopyObject().(T)
	if !ok {
		w.Fatalf("deep copy of %T is of another type", object)
	}
	mutate(object)
	w.must(w.env.Client.Patch(w.Context(), object, client.MergeFrom(before)))
}

// secret reads a Secret, nil when there is none.
func (w *world) secret(name string) *corev1.Secret {
	w.Helper()
	secret := &corev1.Secret{}
	err := w.env.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, secret)
	if client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return secret
}

func get[T client.Object](w *world, name string, into T) T {
	w.Helper()
	w.must(w.env.Client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, into))
	return into
}

// server is asp1, which is the server of most tests.
func (w *world) server() *v1alpha1.RelayServer {
	w.Helper()
	return get(w, "asp1", &v1alpha1.RelayServer{})
}

func (w *world) user(name string) *v1alpha1.RelayUser {
	w.Helper()
	return get(w, name, &v1alpha1.RelayUser{})
}

func (w *world) reset(name string) *v1alpha1.DeviceReset {
	w.Helper()
	return get(w, name, &v1alpha1.DeviceReset{})
}

// eventually waits until check returns nil.
func (w *world) eventually(check func() error) {
	w.Helper()
	testenv.Eventually(w, soon, check)
}

// has says whether a condition has a status and reason, and a message with the text in it.
func has(conditions []metav1.Condition, generation int64, conditionType string, status metav1.ConditionStatus, reason, text string) error {
	c := meta.FindStatusCondition(conditions, conditionType)
	switch {
	case c == nil:
		return fmt.Errorf("no condition %s", conditionType)
	case c.Status != status || c.Reason != reason || !strings.Contains(c.Message, text):
		return fmt.Errorf("%s is %s, %s: %q; want %s, %s: %q", conditionType, c.Status, c.Reason, c.Message, status, reason, text)
	case c.ObservedGeneration != generation:
		return fmt.Errorf("%s was observed at generation %d, want %d", conditionType, c.ObservedGeneration, generation)
	}
	return nil
}

// serverBecomes waits for the server asp1.
func (w *world) serverBecomes(conditionType string, status metav1.ConditionStatus, reason, text string) {
	w.Helper()
	w.eventually(func() error {
		s := w.server()
		return has(s.Status.Conditions, s.Generation, conditionType, status, reason, text)
	})
}

func (w *world) userBecomes(name, conditionType string, status metav1.ConditionStatus, reason, text string) {
	w.Helper()
	w.eventually(func() error {
		u := w.user(name)
		return has(u.Status.Conditions, u.Generation, conditionType, status, reason, text)
	})
}

func (w *world) userReady(name string) {
	w.Helper()
	w.userBecomes(name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonUserReady, "")
}

func (w *world) resetBecomes(name string, status metav1.ConditionStatus, reason, text string) {
	w.Helper()
	w.eventually(func() error {
		r := w.reset(name)
		return has(r.Status.Conditions, r.Generation, v1alpha1.ConditionComplete, status, reason, text)
	})
}

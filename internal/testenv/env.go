package testenv

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

const (
	// startTimeout is generous: the machine may be busy with other test binaries.
	startTimeout = 2 * time.Minute
	// requestTimeout bounds one request of a helper of this package, and one run of kubectl.
	requestTimeout = time.Minute
	// tokenSeconds is how long the token of a ServiceAccountConfig is good for.
	tokenSeconds = 3600
	// pollInterval is how often Eventually looks again.
	pollInterval = 20 * time.Millisecond
)

// Env is a control plane with the project's CRDs, roles and policies applied.
type Env struct {
	// ControlPlane is what runs. Only the one from New may be paused or killed.
	ControlPlane *ControlPlane
	// Config is the administrator's.
	Config *rest.Config
	// Client is the administrator's. It reads from the API server, not from a cache.
	Client client.Client
	// Scheme knows the kinds of client-go and of api/v1alpha1.
	Scheme *runtime.Scheme

	dir    string // kubeconfig, kubectl's cache, and the logs
	binDir string
}

func (e *Env) prepare(ctx context.Context) error {
	e.Scheme = runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(e.Scheme), v1alpha1.AddToScheme(e.Scheme)); err != nil {
		return err
	}
	var err error
	e.Config = e.ControlPlane.AdminConfig()
	if e.Client, err = client.New(e.Config, client.Options{Scheme: e.Scheme}); err != nil {
		return err
	}
	if err := WriteKubeconfig(e.kubeconfig(), e.Config); err != nil {
		return err
	}
	return install(ctx, e.Client)
}

func (e *Env) stop(keepLogs bool) error {
	track(e, false)
	err := e.ControlPlane.Stop()
	if keepLogs {
		return errors.Join(err, os.RemoveAll(e.kubectlCache()), os.Remove(e.kubeconfig()))
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}

func (e *Env) kubeconfig() string { return filepath.Join(e.dir, "kubeconfig") }

func (e *Env) kubectlCache() string { return filepath.Join(e.dir, "kubectl-cache") }

// Logs are the paths of the logs of the control plane.
func (e *Env) Logs() []string { return e.ControlPlane.Logs() }

func (e *Env) logPathsOnFailure(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs of the control plane: %s", strings.Join(e.Logs(), " "))
		}
	})
}

// Namespace makes a namespace for the test. Its deletion is asked for when the test ends, and not
// waited for: without a controller manager nothing in it goes away.
func (e *Env) Namespace(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := e.Client.Create(ctx, namespace); err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		defer cancel()
		if err := e.Client.Delete(ctx, namespace); err != nil {
			t.Logf("delete the namespace %s: %v", namespace.Name, err) // the control plane may be down by now
		}
	})
	return namespace.Name
}

// ServiceAccountConfig is for a client that is that service account, which is made if need be, by a
// token as a pod would have it. RBAC decides what it may do, so at first nothing.
func (e *Env) ServiceAccountConfig(t testing.TB, namespace, name string) *rest.Config {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := e.Client.Create(ctx, account); client.IgnoreAlreadyExists(err) != nil {
		t.Fatalf("make the service account %s/%s: %v", namespace, name, err)
	}
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if err := e.Client.SubResource("token").Create(ctx, account, request); err != nil {
		t.Fatalf("request a token of the service account %s/%s: %v", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(e.Config)
	config.BearerToken = request.Status.Token
	return config
}

// Eventually calls check until it returns nil, and fails the test with its last error when that takes
// longer than timeout.
func Eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := poll(ctx, check); err != nil {
		t.Fatalf("still not so after %s: %v", timeout, err)
	}
}

// poll calls check until it returns nil, or ctx ends; then it returns check's last error.
func poll(ctx context.Context, check func() error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

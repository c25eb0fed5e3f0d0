package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	release = "tegata"
	// patience is for a machine that is busy with other tests.
	patience = 2 * time.Minute
)

// cluster is a real API server on which nothing was installed.
type cluster struct {
	client.Client
	flags *genericclioptions.ConfigFlags
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("KUBEBUILDER_ASSETS is not set: `make test` sets it")
		}
		t.Skip("*** NOT RUN: KUBEBUILDER_ASSETS is not set, `make test` sets it ***")
	}
	plane := &envtest.Environment{ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience}
	config, err := plane.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, plane.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	flags := genericclioptions.NewConfigFlags(false)
	*flags.KubeConfig, *flags.Namespace = kubeconfig, namespace
	cache := t.TempDir()
	flags.CacheDir = &cache
	return &cluster{Client: c, flags: flags}
}

// helm is one command's worth of Helm: it remembers nothing of the cluster.
func (c *cluster) helm(t *testing.T) *action.Configuration {
	t.Helper()
	configuration := action.NewConfiguration()
	configuration.SetLogger(slog.NewTextHandler(io.Discard, nil))
	if err := configuration.Init(c.flags, namespace, "secrets"); err != nil {
		t.Fatal(err)
	}
	return configuration
}

func (c *cluster) install(t *testing.T, of *chart.Chart, text string) error {
	t.Helper()
	install := action.NewInstall(c.helm(t))
	install.ReleaseName, install.Namespace, install.CreateNamespace = release, namespace, true
	install.WaitStrategy, install.Timeout = kube.HookOnlyStrategy, patience // there is no kubelet
	_, err := install.Run(of, values(t, text))
	return err
}

func (c *cluster) upgrade(t *testing.T, to *chart.Chart, text string) {
	t.Helper()
	upgrade := action.NewUpgrade(c.helm(t))
	upgrade.Namespace, upgrade.ServerSideApply = namespace, "auto"
	upgrade.WaitStrategy, upgrade.Timeout = kube.HookOnlyStrategy, patience
	if _, err := upgrade.Run(release, to, values(t, text)); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) rollBack(t *testing.T, revision int) {
	t.Helper()
	rollback := action.NewRollback(c.helm(t))
	rollback.Version, rollback.WaitStrategy, rollback.Timeout = revision, kube.HookOnlyStrategy, patience
	if err := rollback.Run(release); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) uninstall(t *testing.T) {
	t.Helper()
	uninstall := action.NewUninstall(c.helm(t))
	uninstall.WaitStrategy, uninstall.Timeout = kube.HookOnlyStrategy, patience
	if _, err := uninstall.Run(release); err != nil {
		t.Fatal(err)
	}
}

// get reads an object of a rendering as it is in the cluster.
func (c *cluster) get(t *testing.T, object map[string]any) (*unstructured.Unstructured, error) {
	t.Helper()
	live := &unstructured.Unstructured{Object: object}
	key := client.ObjectKeyFromObject(live)
	live = live.DeepCopy()
	return live, c.Get(t.Context(), key, live)
}

// apply applies a file's objects.
func (c *cluster) apply(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	all.add(t, string(text))
	for _, object := range all {
		of := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: object})
		if err := c.Apply(t.Context(), of, client.FieldOwner("test")); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until check has nothing to complain of.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func isPodSecurity(err error) bool {
	return err != nil && strings.Contains(err.Error(), `violates PodSecurity "restricted`)
}

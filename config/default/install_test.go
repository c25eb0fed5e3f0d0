// Package default_test installs Tegata on an empty cluster, as its administrator would.
package default_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// activation is how long a policy may take to be in force.
const activation = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// programs is the directory of kubectl and the control plane.
func programs(t *testing.T) string {
	t.Helper()
	dir, err := testenv.BinDir()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return dir
}

// cluster is a control plane on which nothing was installed.
type cluster struct {
	client.Client
	kubeconfig, binDir string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	binDir := programs(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cp, err := testenv.StartControlPlane(ctx, testenv.Options{BinDir: binDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := testenv.WriteKubeconfig(kubeconfig, cp.AdminConfig()); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cp.AdminConfig(), client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{Client: c, kubeconfig: kubeconfig, binDir: binDir}
}

// kubectl fails the test unless it succeeds without a warning.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.binDir, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "KUBECACHEDIR="+filepath.Join(filepath.Dir(c.kubeconfig), "cache"))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || strings.Contains(stderr.String(), "Warning") {
		t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// render is what kustomize makes of a directory.
func (c *cluster) render(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	text := c.kubectl(t, "kustomize", dir)
	for document := range strings.SplitSeq(text, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	if len(objects) < 20 {
		t.Fatalf("%s has %d objects only", dir, len(objects))
	}
	return objects
}

// versions are the resourceVersions of what is in the cluster: any write changes them.
func (c *cluster) versions(t *testing.T, objects []*unstructured.Unstructured) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, object := range objects {
		live := object.DeepCopy()
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), live); err != nil {
			t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
		versions[object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName()] = live.GetResourceVersion()
	}
	return versions
}

// TestInstall: each object is accepted on an empty cluster, in one go and without a warning (a pod that Pod Security
// would refuse is one), and applying again writes nothing.
func TestInstall(t *testing.T) {
	for name, tc := range map[string]struct {
		dir             string
		apply           []string
		wantRequestedBy string
	}{
		"on 1.36 and later":              {".", []string{"apply", "--server-side", "-k", "."}, "admin"},
		"on 1.36 and later, client-side": {".", []string{"apply", "-k", "."}, "admin"},
		"before 1.36":                    {"../before-1.36", []string{"apply", "--server-side", "-k", "../before-1.36"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			objects := c.render(t, tc.dir)
			c.kubectl(t, tc.apply...)
			c.kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
			before := c.versions(t, objects)
			c.kubectl(t, tc.apply...)
			for object, version := range c.versions(t, objects) {
				if version != before[object] {
					t.Errorf("applying again has written %s", object)
				}
			}
			c.kubectl(t, "diff", "-k", tc.dir)
			podsAreAdmitted(t, c, objects)
			policiesWork(t, c, tc.wantRequestedBy)
			usersStay(t, c)
		})
	}
}

// podsAreAdmitted makes a pod of each template, without effect, where Pod Security holds it to restricted.
func podsAreAdmitted(t *testing.T, c *cluster, objects []*unstructured.Unstructured) {
	t.Helper()
	templates := 0
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		templates++
		pod := podOf(t, object)
		if err := c.Create(t.Context(), pod.DeepCopy(), client.DryRunAll); err != nil {
			t.Errorf("a pod of %s is refused: %v", object.GetName(), err)
		}
		pod.Spec.SecurityContext.RunAsNonRoot = nil
		if err := c.Create(t.Context(), pod, client.DryRunAll); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `PodSecurity "restricted`) {
			t.Errorf("a pod in %s that may run as root: %v, want it refused by Pod Security", pod.Namespace, err)
		}
	}
	if templates == 0 {
		t.Error("there is no Deployment")
	}
}

func podOf(t *testing.T, deployment *unstructured.Unstructured) *corev1.Pod {
	t.Helper()
	fields := []string{"spec", "template"}
	if deployment.GetKind() == "PodTemplate" {
		fields = fields[1:]
	}
	template, found, err := unstructured.NestedMap(deployment.Object, fields...)
	if err != nil || !found {
		t.Fatalf("%s has no template: %v", deployment.GetName(), err)
	}
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, pod); err != nil {
		t.Fatal(err)
	}
	pod.Namespace, pod.Name = deployment.GetNamespace(), deployment.GetName()+"-0"
	return pod
}

// policiesWork asks for a DeviceReset, without effect. A policy that was left out, or is there without what it goes
// with, shows here.
func policiesWork(t *testing.T, c *cluster, wantRequestedBy string) {
	t.Helper()
	testenv.Eventually(t, activation, func() error {
		if err := c.Create(t.Context(), deviceReset("somebody else"), client.DryRunAll); !apierrors.IsForbidden(err) {
			return fmt.Errorf("a reset in another's name: %w", err)
		}
		return nil
	})
	testenv.Eventually(t, activation, func() error {
		reset := deviceReset("")
		if err := c.Create(t.Context(), reset, client.DryRunAll); err != nil {
			return err
		}
		if got, _, _ := unstructured.NestedString(reset.Object, "spec", "requestedBy"); got != wantRequestedBy {
			return fmt.Errorf("requestedBy %q, want %q", got, wantRequestedBy)
		}
		return nil
	})
}

// usersStay when the manager is taken away, and what holds sidecars to their own stays with them.
func usersStay(t *testing.T, c *cluster) {
	t.Helper()
	user := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "tegata.dev/v1alpha1", "kind": "RelayUser",
		"metadata": map[string]any{"namespace": "default", "name": "taro"},
		"spec":     map[string]any{"serverRef": map[string]any{"name": "asp1"}},
	}}
	if err := c.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "delete", "--wait=false", "-k", "../manager") // without its controller a namespace never goes
	c.kubectl(t, "get", "-n", "default", "relayuser", "taro")
	c.kubectl(t, "get", "validatingadmissionpolicy", "tegata-sidecar-leases", "tegata-sidecar-status")
}

func deviceReset(requestedBy string) *unstructured.Unstructured {
	spec := map[string]any{"userRef": map[string]any{"name": "taro"}, "slots": []any{"mobile"}}
	if requestedBy != "" {
		spec["requestedBy"] = requestedBy
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "tegata.dev/v1alpha1", "kind": "DeviceReset",
		"metadata": map[string]any{"namespace": "default", "name": "probe"}, "spec": spec,
	}}
}

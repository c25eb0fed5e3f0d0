package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const withHistory = "history: {enabled: true}"

// TestOnACluster goes through a release's life on a real API server: each part begins where the one before ended.
func TestOnACluster(t *testing.T) {
	c := newCluster(t)
	present := loadChart(t)
	rendered := helmed(t, withHistory, namespace, newest)

	part(t, "install the version before", func(t *testing.T) {
		if err := c.install(t, older(t), withHistory); err != nil {
			t.Fatal(err)
		}
		if got := c.columns(t); strings.Contains(got, "Last-Login") {
			t.Errorf("the older version has the columns %s", got)
		}
	})
	user := c.boundUser(t)
	var secret *unstructured.Unstructured
	part(t, "upgrade", func(t *testing.T) {
		secret, _ = c.get(t, rendered["Secret "+namespace+"/tegata-history-tls"])
		c.upgrade(t, present, withHistory)
		if got := c.columns(t); !strings.Contains(got, "Last-Login") {
			t.Errorf("the upgrade leaves the columns %s", got)
		}
		for _, key := range sorted(rendered) {
			if _, err := c.get(t, rendered[key]); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
		if c.hasFormer(t) {
			t.Error("the upgrade leaves what only the older version has")
		}
		c.isAsItWas(t, user)
	})
	part(t, "upgrade to the same", func(t *testing.T) {
		before := c.versions(t, rendered)
		c.upgrade(t, present, withHistory)
		for key, version := range c.versions(t, rendered) {
			if before[key] != version {
				t.Errorf("%s was written", key)
			}
		}
		if now, _ := c.get(t, secret.Object); !equality.Semantic.DeepEqual(now.Object["data"], secret.Object["data"]) {
			t.Error("the history server has another certificate: relays have a copy of the former's authority")
		}
	})
	part(t, "roll back", func(t *testing.T) {
		c.rollBack(t, 1)
		if got := c.columns(t); strings.Contains(got, "Last-Login") {
			t.Errorf("rolling back leaves the columns %s", got)
		}
		if !c.hasFormer(t) {
			t.Error("rolling back does not bring back what the older version has")
		}
		c.isAsItWas(t, user)
	})
	part(t, "uninstall", func(t *testing.T) {
		c.uninstall(t)
		for _, key := range sorted(rendered) {
			kept := strings.HasPrefix(key, "CustomResourceDefinition ") || strings.HasPrefix(key, "PersistentVolumeClaim ")
			eventually(t, func() error {
				live, err := c.get(t, rendered[key])
				if gone := apierrors.IsNotFound(err) || err == nil && live.GetDeletionTimestamp() != nil; gone == kept {
					return fmt.Errorf("%s: %w; want it kept: %t", key, err, kept)
				}
				return nil
			})
		}
		c.isAsItWas(t, user)
	})
	part(t, "install again, with cert-manager", func(t *testing.T) {
		c.apply(t, "testdata/cert-manager-crds.yaml")
		const values = "history: {enabled: true, store: postgres, tls: {source: cert-manager}}"
		all := helmed(t, values, namespace, newest)
		c.acceptsStrictly(t, all)
		if err := c.install(t, present, values); err != nil {
			t.Fatal(err)
		}
		for _, key := range sorted(all) {
			if _, err := c.get(t, all[key]); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
		c.isAsItWas(t, user)
	})
	part(t, "Pod Security", func(t *testing.T) { c.podsAreRestricted(t) })
}

// part is a step without which the next ones make no sense.
func part(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	if !t.Run(name, test) {
		t.FailNow()
	}
}

// older is a chart of the version before: its kinds have a column less, and it has a policy that is no more.
func older(t *testing.T) *chart.Chart {
	t.Helper()
	before := loadChart(t)
	for i, file := range before.Files {
		switch file.Name {
		case "objects/crds.yaml":
			before.Files[i].Data = []byte(strings.ReplaceAll(string(file.Data), "Last-Login", "Logged-In"))
		case "objects/core.yaml":
			before.Files[i].Data = append([]byte(former), file.Data...)
		}
	}
	return before
}

// former is an object that only the version before has.
const former = `apiVersion: v1
kind: ConfigMap
metadata:
  name: tegata-former
  namespace: tegata-system
---
`

func (c *cluster) hasFormer(t *testing.T) bool {
	t.Helper()
	_, err := c.get(t, map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": namespace, "name": "tegata-former"},
	})
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

// columns are those of RelayUser.
func (c *cluster) columns(t *testing.T) string {
	t.Helper()
	crd, err := c.get(t, map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "relayusers.tegata.dev"},
	})
	if err != nil {
		t.Fatal(err)
	}
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	return fmt.Sprint(versions[0].(map[string]any)["additionalPrinterColumns"]) //nolint:errcheck // it panics as well as fails
}

// boundUser makes a user to whom a device is bound.
func (c *cluster) boundUser(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	user := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "tegata.dev/v1alpha1", "kind": "RelayUser",
		"metadata": map[string]any{"namespace": "default", "name": "taro"},
		"spec":     map[string]any{"serverRef": map[string]any{"name": "asp1"}},
	}}
	eventually(t, func() error { return client.IgnoreAlreadyExists(c.Create(t.Context(), user.DeepCopy())) })
	status := user.DeepCopy()
	status.Object["status"] = map[string]any{"slots": []any{map[string]any{
		"slot": "pc", "state": "Registered",
		"binding": map[string]any{
			"id": "01JD0000000000000000000000", "digest": "k1:laptop", "kind": "Opaque",
			"registeredTime": "2026-11-23T00:00:00Z",
		},
	}}}
	if err := c.Status().Patch(t.Context(), status, client.Merge); err != nil {
		t.Fatal(err)
	}
	bound, err := c.get(t, user.Object)
	if err != nil {
		t.Fatal(err)
	}
	if _, found, _ := unstructured.NestedSlice(bound.Object, "status", "slots"); !found {
		t.Fatal("nothing is bound")
	}
	return bound
}

func (c *cluster) isAsItWas(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	now, err := c.get(t, object.Object)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"spec", "status"} {
		if !equality.Semantic.DeepEqual(now.Object[field], object.Object[field]) {
			t.Errorf("its %s was %v and is %v", field, object.Object[field], now.Object[field])
		}
	}
	if now.GetUID() != object.GetUID() {
		t.Error("it is another object")
	}
}

// versions are the resourceVersions of what is in the cluster.
func (c *cluster) versions(t *testing.T, rendered objects) map[string]string {
	t.Helper()
	all := map[string]string{}
	for key, object := range rendered {
		live, err := c.get(t, object)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		all[key] = live.GetResourceVersion()
	}
	return all
}

// acceptsStrictly makes each object of cert-manager's, without effect.
func (c *cluster) acceptsStrictly(t *testing.T, all objects) {
	t.Helper()
	seen := 0
	for key, object := range all {
		if object["apiVersion"] != "cert-manager.io/v1" {
			continue
		}
		seen++
		eventually(t, func() error {
			err := c.Create(t.Context(), &unstructured.Unstructured{Object: object}, client.DryRunAll, client.FieldValidation("Strict"))
			if apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) {
				t.Fatalf("%s: %v", key, err)
			}
			return err
		})
	}
	if seen != 4 {
		t.Errorf("there are %d objects of cert-manager's", seen)
	}
}

// podsAreRestricted makes a pod of each Deployment of every variant, without effect, where Pod Security holds it to
// restricted.
func (c *cluster) podsAreRestricted(t *testing.T) {
	t.Helper()
	space := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": "held", "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"}},
	}}
	if err := c.Create(t.Context(), space); err != nil {
		t.Fatal(err)
	}
	for name, tc := range variants {
		for key, object := range helmed(t, tc.values, "held", tc.kubeVersion) {
			if !strings.HasPrefix(key, "Deployment ") {
				continue
			}
			pod := map[string]any{
				"apiVersion": "v1", "kind": "Pod",
				"metadata": map[string]any{"namespace": "held", "name": "probe"}, "spec": podSpec(t, object),
			}
			if err := c.Create(t.Context(), (&unstructured.Unstructured{Object: pod}).DeepCopy(), client.DryRunAll); err != nil {
				t.Errorf("%s: a pod of %s is refused: %v", name, key, err)
			}
			context, _ := podSpec(t, object)["securityContext"].(map[string]any)
			loose := maps.Clone(context)
			delete(loose, "runAsNonRoot")
			podSpec(t, object)["securityContext"] = loose
			if err := c.Create(t.Context(), &unstructured.Unstructured{Object: pod}, client.DryRunAll); !isPodSecurity(err) {
				t.Errorf("%s: a pod of %s that may run as root: %v, want it refused", name, key, err)
			}
		}
	}
}

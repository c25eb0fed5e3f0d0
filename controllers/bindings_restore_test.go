package controllers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/bindingrecord"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/testenv"
)

var derived = regexp.MustCompile(`^Secret "asp1-(credentials-[0-9]+|radius)" is invalid: metadata.ownerReferences`)

// backup is what a tool keeps of a namespace: objects without status and without what the API server gives them, but
// with owners by UID.
func (w *world) backup() map[string][]*unstructured.Unstructured {
	w.Helper()
	kept := map[string][]*unstructured.Unstructured{}
	for kind, of := range map[string]schema.GroupVersion{
		"Secret": corev1.SchemeGroupVersion, "RelayServer": v1alpha1.GroupVersion, "RelayUser": v1alpha1.GroupVersion,
		"DeviceReset": v1alpha1.GroupVersion,
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(of.WithKind(kind + "List"))
		w.must(w.env.Client.List(w.Context(), list, client.InNamespace(w.namespace)))
		for i := range list.Items {
			object := &list.Items[i]
			delete(object.Object, "status")
			for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"} {
				unstructured.RemoveNestedField(object.Object, "metadata", field)
			}
			kept[kind] = append(kept[kind], object)
		}
	}
	return kept
}

// apply is kubectl apply of objects in that order. What the manager derives from others, and has made anew meanwhile,
// refuses an owner who is gone; nothing else is refused.
func (w *world) apply(objects []*unstructured.Unstructured) {
	w.Helper()
	for start := 0; start < len(objects); start += 50 {
		var file strings.Builder
		for _, object := range objects[start:min(start+50, len(objects))] {
			text, err := json.Marshal(object.Object)
			w.must(err)
			file.WriteString("---\n" + string(text) + "\n")
		}
		_, stderr, err := w.env.Kubectl(w, file.String(), "apply", "-n", w.namespace, "-f", "-")
		for line := range strings.Lines(stderr) {
			if at, ok := strings.CutPrefix(line, `for: "STDIN": error when patching "STDIN": `); err != nil && ok && !derived.MatchString(at) {
				w.Fatalf("apply: %v\n%s", err, line)
			}
		}
	}
}

// loseNamespace deletes the namespace and makes it anew.
func (w *world) loseNamespace() {
	w.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	w.delete(namespace)
	w.eventually(func() error {
		if err := w.env.Client.Get(w.Context(), client.ObjectKeyFromObject(namespace), &corev1.Namespace{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the namespace is still there: %w", err)
		}
		return nil
	})
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})
}

// TestNamespaceIsRestored: whole, from objects without status, whose owners have UIDs that are gone, beside Kubernetes'
// garbage collector, and in any order.
func TestNamespaceIsRestored(t *testing.T) {
	env := testenv.NewWithControllers(t)
	for name, order := range map[string][]string{
		"Secrets first":   {"Secret", "RelayServer", "DeviceReset", "RelayUser"},
		"Secrets last":    {"RelayServer", "RelayUser", "DeviceReset", "Secret"},
		"Secrets between": {"DeviceReset", "RelayUser", "Secret", "RelayServer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{T: t, env: env, namespace: env.Namespace(t)}
			w.startManager()
			w.create(testenv.Server(w.namespace, "asp1"), testenv.PasswordSecret(w.namespace, "taro-password", "correct-horse-battery"), w.taro())
			w.create(testenv.User(w.namespace, "hanako", "asp1", testenv.WithPasswordSecret("taro-password")))
			w.userReady("taro")
			w.userReady("hanako")
			w.bind("taro", v1alpha1.SlotPC, "old")
			w.bind("hanako", v1alpha1.SlotPC, "stolen")
			w.create(w.aReset("stolen", "hanako", onPC))
			w.resetBecomes("stolen", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
			w.bind("hanako", v1alpha1.SlotPC, "new")
			w.recordBecomes("taro", func(r *bindingrecord.Record) error { return recordHolds(r, "old") })
			w.recordBecomes("hanako", func(r *bindingrecord.Record) error { return recordHolds(r, "new") })
			before, err := fingerprint.ParseKeyring(w.secret("asp1-keys").Data)
			w.must(err)

			kept := w.backup()
			w.loseNamespace()
			for _, kind := range order {
				w.apply(kept[kind])
			}
			w.holds("taro", "old")
			w.holds("hanako", "new")
			w.serverReady()
			w.userReady("taro")
			w.userReady("hanako")
			w.eventually(func() error {
				if r := w.reset("stolen"); r.Status.CompletionTime == nil || r.Status.Cleared > 0 {
					return fmt.Errorf("reset %+v", r.Status)
				}
				return nil
			})
			w.holds("hanako", "new")
			if s := w.user("hanako").Status.Slots[0]; len(s.Revoked) != 1 || s.Revoked[0].Digest != digest("stolen") {
				t.Errorf("slot %+v: want the stolen device kept out", s)
			}
			w.eventually(func() error {
				ring, err := fingerprint.ParseKeyring(w.secret("asp1-keys").Data)
				if err != nil || !ring.Has(before.CurrentID()) {
					return errors.Join(errors.New("the keys under which devices are bound are not there"), err)
				}
				return w.nothingHasAStaleOwner()
			})
			w.recordBecomes("taro", func(r *bindingrecord.Record) error { return recordHolds(r, "old") })
			w.recordBecomes("hanako", func(r *bindingrecord.Record) error { return recordHolds(r, "new") })
		})
	}
}

// nothingHasAStaleOwner: the garbage collector has done what it will do.
func (w *world) nothingHasAStaleOwner() error {
	var secrets corev1.SecretList
	w.must(w.env.Client.List(w.Context(), &secrets, client.InNamespace(w.namespace)))
	server := w.server().UID
	for i := range secrets.Items {
		if slices.ContainsFunc(secrets.Items[i].OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID != server }) {
			return fmt.Errorf("secret %s has an owner who is gone", secrets.Items[i].Name)
		}
	}
	return nil
}

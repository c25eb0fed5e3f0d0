package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// A digest as internal/fingerprint spells it.
const digest = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// kubectl is a person with kubectl in a namespace of the test's own.
type kubectl struct {
	t         *testing.T
	env       *testenv.Env
	namespace string
}

// newKubectl makes the test run beside others, which its namespace keeps it apart from.
func newKubectl(t *testing.T) kubectl {
	t.Helper()
	t.Parallel()
	env := testenv.Shared(t)
	return kubectl{t: t, env: env, namespace: env.Namespace(t)}
}

// in is the same person in a subtest.
func (k kubectl) in(t *testing.T) kubectl {
	k.t = t
	return k
}

// run fails the test unless kubectl succeeds, and returns what it prints.
func (k kubectl) run(stdin string, args ...string) string {
	k.t.Helper()
	stdout, stderr, err := k.env.Kubectl(k.t, stdin, append([]string{"-n", k.namespace}, args...)...)
	if err != nil {
		k.t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// apply applies a manifest and returns what kubectl says of it: "created", "configured" or "unchanged", or
// else why it was refused, a cause each.
func (k kubectl) apply(kind, name, spec string) (done string, causes []string) {
	k.t.Helper()
	stdout, stderr, err := k.env.Kubectl(k.t, manifest(kind, name, spec), "-n", k.namespace, "apply", "-f", "-")
	if err != nil {
		return "", k.causes(kind, name, stderr)
	}
	resource, done, found := strings.Cut(strings.TrimSpace(stdout), " ")
	if want := strings.ToLower(kind) + ".tegata.dev/" + name; !found || resource != want {
		k.t.Fatalf("kubectl apply printed %q, want %q first", stdout, want)
	}
	return done, nil
}

func (k kubectl) mustApply(kind, name, spec, want string) {
	k.t.Helper()
	if done, causes := k.apply(kind, name, spec); done != want {
		k.t.Fatalf("apply %s %s: %q, %q; want %q", kind, name, done, causes, want)
	}
}

func manifest(kind, name, spec string) string {
	return fmt.Sprintf("apiVersion: tegata.dev/v1alpha1\nkind: %s\nmetadata: {name: %s}\nspec: %s\n", kind, name, spec)
}

// furtherRules is what the API server adds when the CEL rules did not get their turn.
const furtherRules = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; " +
	"correct the existing errors to complete validation"

// causes are the lines that a person reads, without what Kubernetes puts around them.
func (k kubectl) causes(kind, name, stderr string) []string {
	k.t.Helper()
	text, invalid := strings.CutPrefix(stderr, fmt.Sprintf("The %s %q is invalid: ", kind, name))
	if !invalid {
		return []string{strings.TrimSpace(stderr)}
	}
	var causes []string
	for line := range strings.Lines(strings.TrimSpace(text)) {
		if line = strings.TrimPrefix(strings.TrimSpace(line), "* "); line != furtherRules {
			causes = append(causes, line)
		}
	}
	return causes
}

// ruleCase is an object, and why it is refused; it is good when there is no cause.
type ruleCase struct {
	name string // metadata.name, when it matters
	spec string
	want []string
}

// testRules applies each object and compares what a person reads.
func testRules(t *testing.T, kind, defaultName string, newObject func() client.Object, cases map[string]ruleCase) {
	k := newKubectl(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			k := k.in(t)
			if tc.name == "" {
				tc.name = defaultName
			}
			done, causes := k.apply(kind, tc.name, tc.spec)
			slices.Sort(causes)
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, causes); diff != "" {
				t.Errorf("causes (-want +got):\n%s", diff)
			}
			if done == "" {
				return
			}
			if done != "created" {
				t.Errorf("apply says %q, want created", done)
			}
			object := newObject()
			object.SetNamespace(k.namespace)
			object.SetName(tc.name)
			if err := k.env.Client.Delete(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// get reads an object of the test's namespace.
func get[T client.Object](k kubectl, object T, name string) T {
	k.t.Helper()
	if err := k.env.Client.Get(k.t.Context(), client.ObjectKey{Namespace: k.namespace, Name: name}, object); err != nil {
		k.t.Fatal(err)
	}
	return object
}

// setStatus stores a status as the manager and the sidecars do.
func setStatus[T client.Object](k kubectl, object T, set func(T)) {
	k.t.Helper()
	before, ok := object.DeepCopyObject().(T)
	if !ok {
		k.t.Fatalf("deep copy of %T is of another type", object)
	}
	set(object)
	if err := k.env.Client.Status().Patch(k.t.Context(), object, client.MergeFrom(before)); err != nil {
		k.t.Fatal(err)
	}
}

func newServer() client.Object { return &v1alpha1.RelayServer{} }
func newUser() client.Object   { return &v1alpha1.RelayUser{} }
func newReset() client.Object  { return &v1alpha1.DeviceReset{} }

func times(s string, n int) string { return strings.Repeat(s, n) }

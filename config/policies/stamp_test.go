package policies_test

import (
	"errors"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

var notStamped = denied("tegata-devicereset-requested-by-stamped",
	"spec.requestedBy could not be filled in: it holds user names of at most 512 characters, and the name of whoever makes this request is longer")

// TestStamp has a control plane of its own: elsewhere the stamp is not in force.
func TestStamp(t *testing.T) {
	env := testenv.New(t)
	if err := testenv.Apply(t.Context(), env.Client, "", "stamp"); err != nil {
		t.Fatal(err)
	}
	awaitPolicies(t, env)
	namespace := env.Namespace(t)
	testenv.Eventually(t, activation, func() error {
		probe := reset(namespace, "probe", "")
		if err := env.Client.Create(t.Context(), probe, client.DryRunAll); err != nil {
			return err
		}
		if probe.Spec.RequestedBy == "" {
			return errors.New("requestedBy is not stamped")
		}
		return nil
	})

	t.Run("by kubectl", func(t *testing.T) { testStampByKubectl(t, env) })
	t.Run("names", func(t *testing.T) { testStampOfNames(t, env) })
	t.Run("no spec", func(t *testing.T) {
		_, stderr, err := env.Kubectl(t, "apiVersion: tegata.dev/v1alpha1\nkind: DeviceReset\nmetadata: {name: x}\n", "apply", "-n", namespace, "-f", "-")
		if want := `The DeviceReset "x" is invalid: `; err == nil || !strings.HasPrefix(stderr, want) || !strings.Contains(stderr, "spec: Required value") {
			t.Errorf("a reset without a spec: %v: %s; want %q", err, stderr, want)
		}
	})
}

func testStampByKubectl(t *testing.T, env *testenv.Env) {
	namespace := env.Namespace(t)
	for who, requester := range requesters(t, env, namespace) {
		for _, how := range []string{"--server-side=false", "--server-side=true"} {
			name := who + strings.ReplaceAll(how, "=", "-")
			for range 2 { // GitOps applies again
				checkError(t, applyReset(t, env, requester, namespace, name, "", how), "")
			}
			object := stored(t, env, namespace, name)
			if object.Spec.RequestedBy != requester.name || object.Generation != 1 {
				t.Errorf("%s %s: requestedBy %q, generation %d; want %q, 1", who, how, object.Spec.RequestedBy, object.Generation, requester.name)
			}
			checkError(t, applyReset(t, env, requester, namespace, name+"-named", ", requestedBy: "+requester.name, how), "")
			checkError(t, applyReset(t, env, requester, namespace, name+"-forged", ", requestedBy: admin", how), notYours(requester.name))
		}
	}
	admin := requester{config: env.Config, name: "admin"}
	if err := env.Client.Delete(t.Context(), reset(namespace, "person--server-side-false", "")); err != nil {
		t.Fatal(err)
	}
	checkError(t, applyReset(t, env, admin, namespace, "person--server-side-false", ""), "")
	if got := stored(t, env, namespace, "person--server-side-false").Spec.RequestedBy; got != "admin" {
		t.Errorf("applied anew by admin, requestedBy is %q", got)
	}
}

func testStampOfNames(t *testing.T, env *testenv.Env) {
	namespace := env.Namespace(t)
	for name, tc := range map[string]struct{ user, want string }{
		"quotes":   {`o'taro "x" \`, ""},
		"kanji":    {"花子", ""},
		"512 long": {strings.Repeat("あ", 512), ""},
		"513 long": {strings.Repeat("あ", 513), notStamped},
	} {
		t.Run(name, func(t *testing.T) {
			config := rest.CopyConfig(env.Config)
			config.Impersonate = rest.ImpersonationConfig{UserName: tc.user, Groups: []string{"system:masters"}}
			object := reset(namespace, "", "")
			object.GenerateName = "odd-"
			checkError(t, newClient(t, env, config).Create(t.Context(), object), tc.want)
			if tc.want == "" && object.Spec.RequestedBy != tc.user {
				t.Errorf("requestedBy %q, want %q", object.Spec.RequestedBy, tc.user)
			}
		})
	}
}

// TestPoliciesTypeCheck has the controller of Kubernetes look for fields that the kinds do not have.
func TestPoliciesTypeCheck(t *testing.T) {
	c := testenv.NewWithControllers(t).Client
	for _, path := range []string{".", "stamp"} {
		if err := testenv.Apply(t.Context(), c, "", path); err != nil {
			t.Fatal(err)
		}
	}
	var policies admissionregistrationv1.ValidatingAdmissionPolicyList
	testenv.Eventually(t, activation, func() error {
		if err := c.List(t.Context(), &policies); err != nil {
			return err
		}
		for i := range policies.Items {
			if policies.Items[i].Status.ObservedGeneration == 0 {
				return errors.New(policies.Items[i].Name + " is not checked")
			}
		}
		return nil
	})
	if len(policies.Items) != 5 {
		t.Errorf("%d policies, want 5", len(policies.Items))
	}
	for i := range policies.Items {
		if checking := policies.Items[i].Status.TypeChecking; checking == nil || len(checking.ExpressionWarnings) > 0 {
			t.Errorf("policy %s: %+v", policies.Items[i].Name, checking)
		}
	}
}

package v1alpha1_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

const samples = "../../config/samples"

// TestSamples applies each sample as a newcomer would, and again: nothing changes.
func TestSamples(t *testing.T) {
	k := newKubectl(t)
	want := map[string][]string{
		"relayserver.yaml":        {"relayserver.tegata.dev/asp1"},
		"relayuser.yaml":          {"relayuser.tegata.dev/taro"},
		"relayuser-password.yaml": {"secret/taro-password"},
		"devicereset.yaml":        {"devicereset.tegata.dev/taro-new-phone"},
		"relayserver-radius.yaml": {"relayserver.tegata.dev/vpn"},
		"radius-secret.yaml":      {"secret/vpn1-radius"},
		"relay.yaml":              {"serviceaccount/asp1", "deployment.apps/asp1"},
		"central.yaml":            {"deployment.apps/asp1-auth", "service/asp1-auth", "poddisruptionbudget.policy/asp1-auth", "networkpolicy.networking.k8s.io/asp1-auth"},
	}
	// kubectl does not look into stringData, a budget's selector, and lists that it merges by a key.
	alwaysConfigured := []string{"secret/taro-password", "secret/vpn1-radius", "deployment.apps/asp1-auth", "poddisruptionbudget.policy/asp1-auth"}
	files, err := filepath.Glob(samples + "/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return filepath.Base(file) == "kustomization.yaml" })
	if len(files) != len(want) {
		t.Errorf("samples %q, want %d", files, len(want))
	}
	for _, file := range files {
		var first, again strings.Builder
		for _, object := range want[filepath.Base(file)] {
			first.WriteString(object + " created\n")
			if slices.Contains(alwaysConfigured, object) {
				again.WriteString(object + " configured\n")
			} else {
				again.WriteString(object + " unchanged\n")
			}
		}
		for _, want := range []string{first.String(), again.String()} {
			if got := k.run("", "apply", "-f", file); got != want {
				t.Errorf("apply %s: %q, want %q", file, got, want)
			}
		}
	}

	// The user names the Secret, which permits it, and the reset names the user.
	user := get(k, &v1alpha1.RelayUser{}, "taro")
	secret := get(k, &corev1.Secret{}, user.Spec.Password.SecretRef.Name)
	if got := secret.Labels[v1alpha1.LabelSecretType]; got != v1alpha1.SecretTypePassword || len(secret.Data["password"]) < 8 {
		t.Errorf("the Secret of the password has the label %q and %d bytes", got, len(secret.Data["password"]))
	}
	get(k, &v1alpha1.RelayServer{}, user.Spec.ServerRef.Name)
	gateway := get(k, &v1alpha1.RelayServer{}, "vpn").Spec.RADIUS.Clients[0]
	shared := get(k, &corev1.Secret{}, gateway.SecretRef.Name)
	if got := shared.Labels[v1alpha1.LabelSecretType]; got != v1alpha1.SecretTypeRADIUS || len(shared.Data["secret"]) < 16 {
		t.Errorf("the Secret of the RADIUS client has the label %q and %d bytes", got, len(shared.Data["secret"]))
	}
	get(k, &v1alpha1.RelayUser{}, get(k, &v1alpha1.DeviceReset{}, "taro-new-phone").Spec.UserRef.Name)
}

func TestSamplesKustomization(t *testing.T) {
	k := newKubectl(t)
	k.run("", "apply", "-k", samples)
	want := "relayserver.tegata.dev/asp1\nrelayuser.tegata.dev/taro\n"
	if got := k.run("", "get", "relay", "-o", "name"); got != want {
		t.Errorf("kubectl apply -k made %q, want %q", got, want)
	}
}

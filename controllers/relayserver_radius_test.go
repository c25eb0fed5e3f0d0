package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const sharedSecret = "a-shared-secret-of-24-by"

// withRADIUS gives a server RADIUS clients, each with the Secret of its own name.
func withRADIUS(names ...string) func(*v1alpha1.RelayServer) {
	return func(server *v1alpha1.RelayServer) {
		server.Spec.RADIUS = &v1alpha1.RADIUS{}
		for i, name := range names {
			server.Spec.RADIUS.Clients = append(server.Spec.RADIUS.Clients, v1alpha1.RADIUSClient{
				Name: name, CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("192.0.2.%d/32", i))},
				SecretRef: &v1alpha1.LocalReference{Name: name},
			})
		}
	}
}

func (w *world) radiusSecret(name, value string, labels map[string]string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: labels},
		StringData: map[string]string{"secret": value},
	}
}

var radiusLabel = map[string]string{v1alpha1.LabelSecretType: v1alpha1.SecretTypeRADIUS}

// sharedBecomes waits for what the sidecars may read.
func (w *world) sharedBecomes(want map[string]string) {
	w.Helper()
	w.eventually(func() error {
		secret := w.secret("asp1-radius")
		if secret == nil {
			return fmt.Errorf("no Secret asp1-radius")
		}
		got := map[string]string{}
		for name, value := range secret.Data {
			got[name] = string(value)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("shared secrets (-want +got):\n%s", diff)
		}
		if !metav1.IsControlledBy(secret, w.server()) || secret.Labels[v1alpha1.LabelSecretType] != v1alpha1.SecretTypeRADIUSClients {
			return fmt.Errorf("it is not marked as the server's")
		}
		return nil
	})
}

func TestSharedSecretsAreCopied(t *testing.T) {
	w := managedWorld(t)
	w.create(w.radiusSecret("vpn", sharedSecret+"\n", radiusLabel), w.radiusSecret("wifi", sharedSecret+"2", radiusLabel))
	w.create(testenv.Server(w.namespace, "asp1", withRADIUS("vpn", "wifi")))
	w.serverBecomes(v1alpha1.ConditionRADIUSReady, metav1.ConditionTrue, v1alpha1.ReasonRADIUSSecretsReady, "")
	w.sharedBecomes(map[string]string{"vpn": sharedSecret, "wifi": sharedSecret + "2"})
	w.serverReady()

	// A new secret reaches the sidecars, and what somebody wrote there does not stay.
	edit(w, w.secret("vpn"), func(s *corev1.Secret) { s.StringData = map[string]string{"secret": sharedSecret + "3"} })
	w.sharedBecomes(map[string]string{"vpn": sharedSecret + "3", "wifi": sharedSecret + "2"})
	edit(w, w.secret("asp1-radius"), func(s *corev1.Secret) { s.StringData = map[string]string{"wifi": "forged", "more": "forged"} })
	w.sharedBecomes(map[string]string{"vpn": sharedSecret + "3", "wifi": sharedSecret + "2"})
	w.delete(w.secret("asp1-radius"))
	w.sharedBecomes(map[string]string{"vpn": sharedSecret + "3", "wifi": sharedSecret + "2"})

	// Nor does what the server does not name any more.
	edit(w, w.server(), func(s *v1alpha1.RelayServer) { s.Spec.RADIUS = nil })
	w.sharedBecomes(map[string]string{})
	w.eventually(func() error {
		if c := meta.FindStatusCondition(w.server().Status.Conditions, v1alpha1.ConditionRADIUSReady); c != nil {
			return fmt.Errorf("the condition stays: %+v", c)
		}
		return nil
	})
}

// TestUnusableSharedSecrets: the condition tells what is wrong, nothing of the secret, and the others are served.
func TestUnusableSharedSecrets(t *testing.T) {
	for name, tc := range map[string]struct {
		secret func(*world) *corev1.Secret
		reason string
		text   string
	}{
		"missing": {nil, v1alpha1.ReasonRADIUSSecretNotFound, "RADIUS client bad is not served: there is no Secret bad in namespace"},
		"unlabelled": {
			func(w *world) *corev1.Secret { return w.radiusSecret("bad", sharedSecret, nil) },
			v1alpha1.ReasonRADIUSSecretNotLabelled, "bad tegata.dev/secret-type=radius",
		},
		"a user's password": {
			func(w *world) *corev1.Secret {
				return w.radiusSecret("bad", sharedSecret, map[string]string{v1alpha1.LabelSecretType: v1alpha1.SecretTypePassword})
			},
			v1alpha1.ReasonRADIUSSecretNotLabelled, "labelled as something else",
		},
		"short": {
			func(w *world) *corev1.Secret { return w.radiusSecret("bad", sharedSecret[:15], radiusLabel) },
			v1alpha1.ReasonRADIUSSecretRefused, "16 to 128 bytes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := managedWorld(t)
			w.create(w.radiusSecret("good", sharedSecret+"-good", radiusLabel))
			if tc.secret != nil {
				w.create(tc.secret(w))
			}
			w.create(testenv.Server(w.namespace, "asp1", withRADIUS("bad", "good")))
			w.serverBecomes(v1alpha1.ConditionRADIUSReady, metav1.ConditionFalse, tc.reason, tc.text)
			w.sharedBecomes(map[string]string{"good": sharedSecret + "-good"})
			w.serverReady()
			if c := meta.FindStatusCondition(w.server().Status.Conditions, v1alpha1.ConditionRADIUSReady); strings.Contains(c.Message, sharedSecret[:15]) {
				t.Errorf("the condition shows the secret: %s", c.Message)
			}
			// Once it is mended, and labelled, the client is served.
			if existing := w.secret("bad"); existing != nil {
				w.delete(existing)
			}
			w.create(w.radiusSecret("bad", sharedSecret, radiusLabel))
			w.serverBecomes(v1alpha1.ConditionRADIUSReady, metav1.ConditionTrue, v1alpha1.ReasonRADIUSSecretsReady, "")
			w.sharedBecomes(map[string]string{"good": sharedSecret + "-good", "bad": sharedSecret})
		})
	}
}

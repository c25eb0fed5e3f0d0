package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestMetricsTellTheState: what alerts are about is in the metrics, and nobody's name is.
func TestMetricsTellTheState(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	manager := startManager(t, env, "--leader-elect=false", "--namespace", namespace)
	create(t, env, testenv.Server(namespace, "asp1"),
		testenv.User(namespace, "mark3r-taro", "asp1"), testenv.User(namespace, "mark3r-hanako", "asp1"),
		testenv.User(namespace, "mark3r-saburo", "mark3r-a"), testenv.User(namespace, "mark3r-shiro", "mark3r-b"),
		testenv.User(namespace, "mark3r-jiro", "asp1", testenv.WithPasswordSecret("nowhere")),
		&v1alpha1.DeviceReset{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mark3r-reset"},
			Spec:       v1alpha1.DeviceResetSpec{UserRef: &v1alpha1.LocalReference{Name: "mark3r-nobody"}, Slots: []v1alpha1.Slot{v1alpha1.SlotPC}},
		},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "collector-" + namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "tegata-metrics-reader"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "collector"}},
		})
	token := env.ServiceAccountConfig(t, namespace, "collector").BearerToken
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // self-signed
	defer insecure.CloseIdleConnections()
	ns := fmt.Sprintf("namespace=%q", namespace)
	page := ""
	testenv.Eventually(t, soon, func() error {
		status, body, err := fetch(t.Context(), insecure, "https://"+manager.metrics+"/metrics", token)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("status %d, %w", status, err)
		}
		page = body
		for _, want := range []string{
			`tegata_relayserver_condition{` + ns + `,server="asp1",type="Ready"} 1`,
			`tegata_relayserver_condition{` + ns + `,server="asp1",type="SidecarsLive"} 0`,
			`tegata_relayserver_live_sidecars{` + ns + `,server="asp1"} 0`,
			`tegata_relayusers{` + ns + `,ready="True",reason="UserReady",server="asp1"} 2`,
			`tegata_relayusers{` + ns + `,ready="False",reason="PasswordSecretNotFound",server="asp1"} 1`,
			`tegata_relayusers{` + ns + `,ready="False",reason="ServerNotFound",server=""} 2`,
			`tegata_device_resets_unfinished{` + ns + `,reason="WaitingForUser"} 1`,
			`tegata_device_reset_oldest_unfinished_seconds{` + ns + `,reason="WaitingForUser"} `,
		} {
			if !strings.Contains(body, want) {
				return fmt.Errorf("the metrics do not have %s", want)
			}
		}
		return nil
	})
	if strings.Contains(page, "mark3r") {
		t.Error("the metrics name a user, a reset, or a server that there is not")
	}
}

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	systemNamespace = "tegata-system"
	soon            = time.Minute
)

// managerProcess is a manager as a cluster would run it: with its own service account and roles.
type managerProcess struct {
	*testenv.Process
	probes, metrics string
}

func startManager(t *testing.T, env *testenv.Env, args ...string) managerProcess {
	t.Helper()
	m := managerProcess{probes: env.FreeAddress(t), metrics: env.FreeAddress(t)}
	m.Process = env.Start(t, testenv.Command{
		Name: "manager-" + strings.TrimPrefix(m.probes, "127.0.0.1:"), Path: testenv.Program(t, "manager"),
		Args: append([]string{
			"--kubeconfig", env.Kubeconfig(t, systemNamespace, "tegata-manager"), "--leader-election-namespace", systemNamespace,
			"--health-probe-bind-address", m.probes, "--metrics-bind-address", m.metrics,
		}, args...),
		Ready: testenv.Answers("http://" + m.probes + "/readyz"),
	})
	return m
}

// getOK returns an error unless the reply is 200.
func getOK(ctx context.Context, c *http.Client, url, token string) error {
	status, _, err := fetch(ctx, c, url, token)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: status %d", url, status)
	}
	return err
}

func fetch(ctx context.Context, c *http.Client, url, token string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	reply, err := c.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	return reply.StatusCode, string(body), err
}

func create(t *testing.T, env *testenv.Env, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := env.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

func serverIsReady(t *testing.T, env *testenv.Env, namespace, name string) {
	t.Helper()
	testenv.Eventually(t, soon, func() error {
		server := &v1alpha1.RelayServer{}
		if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, server); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(server.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("server is not ready: %v", server.Status.Conditions)
		}
		return nil
	})
}

func holderOfLease(t *testing.T, env *testenv.Env) string {
	t.Helper()
	lease := &coordinationv1.Lease{}
	err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: leaderElectionID}, lease)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func TestManagerLeadsStandsByAndHandsOver(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	leader := startManager(t, env, "--namespace", namespace)
	create(t, env, testenv.Server(namespace, "asp1"))
	serverIsReady(t, env, namespace, "asp1")
	first := holderOfLease(t, env)
	startManager(t, env, "--namespace", namespace) // ready while it stands by

	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := leader.Terminate(ctx); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	create(t, env, testenv.Server(namespace, "asp2"))
	serverIsReady(t, env, namespace, "asp2")
	if second := holderOfLease(t, env); second == first || second == "" {
		t.Errorf("the Lease is held by %q, was by %q", second, first)
	}
	// Without the Lease being given up, it would take its 15 seconds.
	t.Logf("the other took over within %s", time.Since(begin).Round(100*time.Millisecond))
}

func TestMetricsAreForThoseWhoMay(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	manager := startManager(t, env, "--leader-elect=false") // in all namespaces
	create(t, env, testenv.Server(namespace, "asp1"))
	serverIsReady(t, env, namespace, "asp1")
	collector := env.ServiceAccountConfig(t, namespace, "collector")
	create(t, env, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "collector-" + namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "tegata-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "collector"}},
	})
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // self-signed
	defer insecure.CloseIdleConnections()
	url := "https://" + manager.metrics + "/metrics"
	for name, tc := range map[string]struct {
		token string
		want  int
	}{
		"nobody":               {"", http.StatusUnauthorized},
		"somebody who may not": {env.ServiceAccountConfig(t, namespace, "other").BearerToken, http.StatusForbidden},
		"a collector":          {collector.BearerToken, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			testenv.Eventually(t, soon, func() error {
				status, body, err := fetch(t.Context(), insecure, url, tc.token)
				if err != nil {
					return err
				}
				if status != tc.want {
					return fmt.Errorf("status %d, want %d: %s", status, tc.want, body)
				}
				return nil
			})
		})
	}
	if err := getOK(t.Context(), insecure, "https://"+manager.probes+"/metrics", ""); err == nil {
		t.Error("the probes' address serves metrics")
	}
}

// The manager's permissions are enough for all that it does, as other tests show; and no more.
func TestManagerMayNoMore(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	c, err := client.New(env.ServiceAccountConfig(t, systemNamespace, "tegata-manager"), client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	user := testenv.User(namespace, "taro", "asp1")
	create(t, env, user)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "asp1-sidecar"}
	role := func(rule rbacv1.PolicyRule) *rbacv1.Role {
		return &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}
	}
	for name, request := range map[string]func(context.Context) error{
		"change a user's spec": func(ctx context.Context) error {
			changed := user.DeepCopy()
			changed.Spec.Suspended = true
			return c.Patch(ctx, changed, client.MergeFrom(user))
		},
		"delete a user": func(ctx context.Context) error { return c.Delete(ctx, user) },
		"create a reset": func(ctx context.Context) error {
			return c.Create(ctx, &v1alpha1.DeviceReset{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "own"},
				Spec:       v1alpha1.DeviceResetSpec{UserRef: &v1alpha1.LocalReference{Name: "taro"}, Slots: []v1alpha1.Slot{v1alpha1.SlotPC}},
			})
		},
		"delete a Secret": func(ctx context.Context) error { return c.Delete(ctx, testenv.PasswordSecret(namespace, "any", "")) },
		"grant what it does not hold": func(ctx context.Context) error {
			return c.Create(ctx, role(rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"create"}}))
		},
		"grant the deletion of Secrets": func(ctx context.Context) error {
			return c.Create(ctx, role(rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"delete"}}))
		},
		"bind cluster-admin": func(ctx context.Context) error {
			return c.Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := request(t.Context()); !apierrors.IsForbidden(err) {
				t.Errorf("%v, want forbidden", err)
			}
		})
	}
}

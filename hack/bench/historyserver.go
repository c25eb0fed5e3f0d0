package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	historySystem  = "tegata-system"
	historyAccount = "tegata-history"
	// historyAudience is whom sidecars' tokens are for.
	historyAudience = "tegata-history"
	senderAccount   = "bench-sidecar"
)

// historyServer is the shipped one. It asks the API server who sends, and whether they may.
type historyServer struct {
	process *testenv.Process
	place   *testenv.Aggregated
	// tokenFile is a sidecar's.
	tokenFile string
}

// startHistory starts it with its defaults, but for the flags, which name the store.
func (p *plane) startHistory(ctx context.Context, dir string, flags ...string) (*historyServer, error) {
	binary := filepath.Join(dir, "history")
	if err := build(ctx, historyPackage, binary); err != nil {
		return nil, err
	}
	kubeconfig, err := p.prepareHistory(ctx, dir)
	if err != nil {
		return nil, err
	}
	place, err := p.cp.Aggregate(historySystem, historyAccount)
	if err != nil {
		return nil, err
	}
	s := &historyServer{place: place, tokenFile: filepath.Join(dir, "token")}
	if err := p.letSend(ctx, s.tokenFile); err != nil {
		return nil, err
	}
	config := p.cp.AdminConfig() // of the same authority
	config.Host = place.URL
	admin, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	defer admin.CloseIdleConnections()
	s.process, err = p.cp.StartProcess(ctx, testenv.Command{
		Name: fmt.Sprintf("history-%d", place.Port), Path: binary,
		Args: append([]string{
			"--kubeconfig=" + kubeconfig, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", place.Port),
			"--tls-cert-file=" + place.CertFile, "--tls-private-key-file=" + place.KeyFile,
		}, flags...),
		Ready: func(ctx context.Context) error { return isOK(ctx, admin, place.URL+"/readyz") },
	})
	return s, err
}

func isOK(ctx context.Context, c *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// prepareHistory gives the server its roles, and makes the kubeconfig of its ServiceAccount.
func (p *plane) prepareHistory(ctx context.Context, dir string) (kubeconfig string, err error) {
	for _, file := range []string{"service_account", "role", "role_binding"} {
		if err := testenv.Apply(ctx, p.client, historySystem, filepath.Join("config", "history", file+".yaml")); err != nil {
			return "", err
		}
	}
	config := rest.AnonymousClientConfig(p.cp.AdminConfig())
	if config.BearerToken, err = p.token(ctx, historySystem, historyAccount); err != nil {
		return "", err
	}
	kubeconfig = filepath.Join(dir, "history.kubeconfig")
	return kubeconfig, testenv.WriteKubeconfig(kubeconfig, config)
}

// letSend makes a ServiceAccount that may send records of any RelayServer, and writes its token.
func (p *plane) letSend(ctx context.Context, tokenFile string) error {
	meta := metav1.ObjectMeta{Namespace: benchNamespace, Name: senderAccount}
	for _, object := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{historyv1alpha1.GroupVersion.Group}, Resources: []string{"accesslogs/records"}, Verbs: []string{"create"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: senderAccount},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: benchNamespace, Name: senderAccount}},
		},
	} {
		if err := client.IgnoreAlreadyExists(p.client.Create(ctx, object)); err != nil {
			return err
		}
	}
	token, err := p.token(ctx, benchNamespace, senderAccount, historyAudience)
	return errors.Join(err, os.WriteFile(tokenFile, []byte(token), 0o600))
}

// token is one of a ServiceAccount, as a pod would have it.
func (p *plane) token(ctx context.Context, namespace, name string, audiences ...string) (string, error) {
	seconds := int64(3600)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds, Audiences: audiences}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := p.client.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("request a token of %s/%s: %w", namespace, name, err)
	}
	return request.Status.Token, nil
}

package testenv

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// probeTimeout ends a question to a server that does not answer, such as a paused one.
const probeTimeout = 2 * time.Second

// managerControllers are the controllers that make sense without nodes.
var managerControllers = []string{
	"clusterrole-aggregation-controller",
	"deployment-controller",
	"garbage-collector-controller",
	"job-controller",
	"namespace-controller",
	"replicaset-controller",
	"resourcequota-controller",
	"root-ca-certificate-publisher-controller",
	"serviceaccount-controller",
	"statefulset-controller",
	"ttl-after-finished-controller",
	"validatingadmissionpolicy-status-controller",
}

// prepare takes the ports and writes every certificate and key that the processes read.
func (cp *ControlPlane) prepare() error {
	for _, p := range []**port{&cp.etcdPort, &cp.peerPort, &cp.apiPort, &cp.managerPort} {
		reserved, err := reservePort()
		if err != nil {
			return err
		}
		*p = reserved
		cp.ports = append(cp.ports, reserved)
	}
	var err error
	if cp.authority, err = newAuthority(); err != nil {
		return err
	}
	if cp.admin, err = cp.authority.client("admin", "system:masters"); err != nil {
		return err
	}
	return cp.writeFiles()
}

// writeFiles writes <name>.crt and <name>.key for each server and client, and what they share.
func (cp *ControlPlane) writeFiles() error {
	signingKey, err := newSigningKey()
	if err != nil {
		return err
	}
	files, err := frontProxyFiles()
	if err != nil {
		return err
	}
	files["ca.crt"], files["service-accounts.key"] = cp.authority.pem, signingKey
	server := func(name string) (keyPair, error) { return cp.authority.server(name) }
	for name, issue := range map[string]func(string) (keyPair, error){
		"etcd": server, "kube-apiserver": server, "kube-controller-manager": server,
		"etcd-client": func(name string) (keyPair, error) { return cp.authority.client(name) },
	} {
		pair, err := issue(name)
		if err != nil {
			return err
		}
		files[name+".crt"], files[name+".key"] = pair.certificate, pair.key
	}
	for name, content := range files {
		if err := os.WriteFile(cp.file(name), content, 0o600); err != nil {
			return err
		}
	}
	manager, err := cp.UserConfig("system:kube-controller-manager")
	if err != nil {
		return err
	}
	return WriteKubeconfig(cp.file("kube-controller-manager.kubeconfig"), manager)
}

func (cp *ControlPlane) file(name string) string { return filepath.Join(cp.options.Dir, name) }

func (cp *ControlPlane) program(name string) string { return filepath.Join(cp.options.BinDir, name) }

func (cp *ControlPlane) etcdCommand() Command {
	return Command{
		Name: "etcd",
		Path: cp.program("etcd"),
		Args: []string{
			"--data-dir=" + cp.file("etcd"),
			"--unsafe-no-fsync", // the data does not outlive the control plane
			"--listen-client-urls=" + cp.etcdPort.url(),
			"--advertise-client-urls=" + cp.etcdPort.url(),
			"--listen-peer-urls=" + cp.peerPort.url(),
			"--initial-advertise-peer-urls=" + cp.peerPort.url(),
			"--initial-cluster=default=" + cp.peerPort.url(),
			"--cert-file=" + cp.file("etcd.crt"),
			"--key-file=" + cp.file("etcd.key"),
			"--trusted-ca-file=" + cp.file("ca.crt"),
			"--client-cert-auth",
			"--peer-cert-file=" + cp.file("etcd.crt"),
			"--peer-key-file=" + cp.file("etcd.key"),
			"--peer-trusted-ca-file=" + cp.file("ca.crt"),
			"--peer-client-cert-auth",
			"--log-level=warn",
		},
		Ready: cp.answers(cp.etcdPort.url() + "/health"),
	}
}

func (cp *ControlPlane) apiServerCommand() Command {
	return Command{
		Name: "kube-apiserver",
		Path: cp.program("kube-apiserver"),
		Args: append([]string{
			"--etcd-servers=" + cp.etcdPort.url(),
			"--etcd-cafile=" + cp.file("ca.crt"),
			"--etcd-certfile=" + cp.file("etcd-client.crt"),
			"--etcd-keyfile=" + cp.file("etcd-client.key"),
			"--bind-address=127.0.0.1",
			"--advertise-address=127.0.0.1",
			"--endpoint-reconciler-type=none", // a loopback address may not become an endpoint
			fmt.Sprintf("--secure-port=%d", cp.apiPort.number),
			"--tls-cert-file=" + cp.file("kube-apiserver.crt"),
			"--tls-private-key-file=" + cp.file("kube-apiserver.key"),
			"--client-ca-file=" + cp.file("ca.crt"),
			"--authorization-mode=RBAC",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + cp.file("service-accounts.key"),
			"--service-account-signing-key-file=" + cp.file("service-accounts.key"),
			"--service-cluster-ip-range=10.0.0.0/24",
		}, cp.aggregationFlags()...),
		Ready: cp.answers(cp.apiPort.url() + "/readyz"),
	}
}

func (cp *ControlPlane) controllerManagerCommand() Command {
	return Command{
		Name: "kube-controller-manager",
		Path: cp.program("kube-controller-manager"),
		Args: []string{
			"--kubeconfig=" + cp.file("kube-controller-manager.kubeconfig"),
			"--authentication-kubeconfig=" + cp.file("kube-controller-manager.kubeconfig"),
			"--authorization-kubeconfig=" + cp.file("kube-controller-manager.kubeconfig"),
			"--bind-address=127.0.0.1",
			fmt.Sprintf("--secure-port=%d", cp.managerPort.number),
			"--tls-cert-file=" + cp.file("kube-controller-manager.crt"),
			"--tls-private-key-file=" + cp.file("kube-controller-manager.key"),
			"--root-ca-file=" + cp.file("ca.crt"),
			"--use-service-account-credentials",
			"--leader-elect=false",
			"--controllers=" + strings.Join(managerControllers, ","),
		},
		Ready: cp.answers(cp.managerPort.url() + "/healthz"),
	}
}

// answers reports nil once the URL answers the administrator with 200.
func (cp *ControlPlane) answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		config, err := cp.authority.tlsConfig(cp.admin)
		if err != nil {
			return err
		}
		return probe(ctx, config, url)
	}
}

// probe asks once, over a connection of its own that does not stay open.
func probe(ctx context.Context, config *tls.Config, url string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

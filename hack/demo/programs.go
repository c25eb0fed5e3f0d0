package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// tokenDuration outlasts any demo that is kept.
const tokenDuration = "720h"

// startManager starts the manager as the service account that config/rbac gives it.
func startManager(ctx context.Context, c *cluster) error {
	_, err := c.startProgram(ctx, programStart{
		name: "manager", path: c.tools.manager, namespace: systemNamespace, account: "tegata-manager",
		args: []string{
			"--leader-election-namespace=tegata-system", "--metrics-bind-address=0", "--health-probe-bind-address=0",
		},
		readyWhenLogged: "Manager starts",
	})
	return err
}

// startSidecar starts a sidecar as the service account that the manager made for it.
func startSidecar(ctx context.Context, c *cluster) error {
	probes, err := testenv.FreeAddress()
	if err != nil {
		return err
	}
	entry, err := c.startProgram(ctx, programStart{
		name: "sidecar", path: c.tools.sidecar, namespace: namespace, account: "asp1-sidecar",
		args: append([]string{
			"--namespace=" + namespace, "--server=asp1", "--identity=demo-pod",
			"--login-address=127.0.0.1:0", "--probe-address=" + probes,
		}, c.historyFlags("asp1-sidecar")...),
		readyWhenLogged: "Listening for logins",
	})
	c.sidecarURL, c.probeURL = "http://"+entry.Address, "http://"+probes
	return err
}

// programStart says how to start a program of the project, and as whom.
type programStart struct {
	name, path         string
	namespace, account string
	args               []string
	readyWhenLogged    string
}

// logEntry is what matters of a line of a log.
type logEntry struct{ Msg, Address string }

// startProgram starts a program with the token of its service account and nothing else, and shows how.
func (c *cluster) startProgram(ctx context.Context, p programStart) (logEntry, error) {
	kubeconfig, err := c.accountKubeconfig(ctx, p.namespace, p.account)
	if err != nil {
		return logEntry{}, err
	}
	args := append([]string{"--kubeconfig=" + kubeconfig}, p.args...)
	c.screen.command(fmt.Sprintf("%s %s &", c.shortPath(p.path), strings.Join(args, " ")))
	var entry logEntry
	command := testenv.Command{Name: p.name, Path: p.path, Args: args, Ready: func(context.Context) error {
		var err error
		entry, err = findLogged(filepath.Join(c.file("logs"), p.name+".log"), p.readyWhenLogged)
		return err
	}}
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	process, err := c.plane.StartProcess(startCtx, command)
	if err != nil {
		return logEntry{}, err
	}
	c.watch(ctx, p.name, process)
	return entry, nil
}

// accountKubeconfig writes a kubeconfig that is that service account and nobody else.
func (c *cluster) accountKubeconfig(ctx context.Context, namespace, account string) (string, error) {
	line := fmt.Sprintf("kubectl --context=admin create token %s --namespace=%s --duration=%s", account, namespace, tokenDuration)
	token, status, err := c.shell(ctx, line, io.Discard)
	if err == nil && status != 0 {
		err = errors.New(strings.TrimSpace(token))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", line, err)
	}
	config := rest.AnonymousClientConfig(c.plane.AdminConfig())
	config.BearerToken = strings.TrimSpace(token)
	if err := os.WriteFile(c.tokenFile(account), []byte(config.BearerToken), 0o600); err != nil {
		return "", err
	}
	path := c.accountFile(account)
	return path, testenv.WriteKubeconfig(path, config)
}

func (c *cluster) accountFile(account string) string { return c.file(account + ".kubeconfig") }

func (c *cluster) tokenFile(account string) string { return c.file(account + ".token") }

// findLogged is the first entry of a log with that message.
func findLogged(path, message string) (logEntry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return logEntry{}, err
	}
	for line := range strings.Lines(string(text)) {
		var entry logEntry
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == message {
			return entry, nil
		}
	}
	return logEntry{}, fmt.Errorf("it has not logged %q yet", message)
}

// shortPath is relative to the root of the repository, where that is shorter.
func (c *cluster) shortPath(path string) string {
	if short, err := filepath.Rel(c.tools.root, path); err == nil && len(short) < len(path) {
		return short
	}
	return path
}

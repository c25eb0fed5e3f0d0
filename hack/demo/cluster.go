package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	// namespace is where the story happens.
	namespace    = "relays"
	startTimeout = 3 * time.Minute
)

// cluster is all that the demo starts: a control plane, a manager and a sidecar, and their files in dir.
type cluster struct {
	dir    string
	tools  tools
	screen *screen
	// lost is told when a program ends that should not.
	lost context.CancelCauseFunc

	plane                *testenv.ControlPlane
	sidecarURL, probeURL string              // of the sidecar, once it runs
	history              *testenv.Aggregated // where the history server is, once it runs

	mu       sync.Mutex
	programs []program
}

// program is one that is running, or was.
type program struct {
	*testenv.Process
	name string
}

func newCluster(t tools, s *screen) (*cluster, error) {
	dir, err := os.MkdirTemp("", "tegata-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for temporary files: %w", err)
	}
	return &cluster{dir: dir, tools: t, screen: s}, nil
}

func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

func (c *cluster) kubeconfig() string { return c.file("kubeconfig") }

// start starts the control plane. The story starts the rest.
func (c *cluster) start(ctx context.Context) error {
	c.screen.title("A control plane starts: certificates of its own, free ports of 127.0.0.1, RBAC on.")
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var err error
	c.plane, err = testenv.StartControlPlane(startCtx, testenv.Options{
		Dir: c.file("control-plane"), LogDir: c.file("logs"), BinDir: c.tools.assets,
		ControllerManager: true, Log: c.screen,
	})
	if err != nil {
		return err
	}
	c.watch(ctx, "etcd", c.plane.Etcd())
	c.watch(ctx, "kube-apiserver", c.plane.APIServer())
	c.watch(ctx, "kube-controller-manager", c.plane.ControllerManager())
	return c.writeKubeconfig()
}

// writeKubeconfig writes a context for each person of the story: alice, who administers relays, and admin,
// who may do everything.
func (c *cluster) writeKubeconfig() error {
	alice, err := c.plane.UserConfig("alice")
	if err != nil {
		return err
	}
	admin := c.plane.AdminConfig()
	config := clientcmdapi.NewConfig()
	config.Clusters["demo"] = &clientcmdapi.Cluster{Server: admin.Host, CertificateAuthorityData: admin.CAData}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: admin.CertData, ClientKeyData: admin.KeyData}
	config.AuthInfos["alice"] = &clientcmdapi.AuthInfo{ClientCertificateData: alice.CertData, ClientKeyData: alice.KeyData}
	for name := range config.AuthInfos {
		config.Contexts[name] = &clientcmdapi.Context{Cluster: "demo", AuthInfo: name, Namespace: namespace}
	}
	config.CurrentContext = "alice"
	return clientcmd.WriteToFile(*config, c.kubeconfig())
}

// watch ends the demo when the program ends.
func (c *cluster) watch(ctx context.Context, name string, p *testenv.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.programs = append(c.programs, program{p, name})
	go func() {
		select {
		case <-p.Exited():
			c.lost(fmt.Errorf("%s ended by itself", name))
		case <-ctx.Done():
		}
	}()
}

func (c *cluster) running() []program {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.programs
}

// complete says whether everything runs that the story needs.
func (c *cluster) complete() bool { return c.sidecarURL != "" }

// logTails are the ends of the logs that tell why the story went wrong: of our own programs, and of those
// that have ended.
func (c *cluster) logTails() string {
	var tails strings.Builder
	for _, p := range c.running() {
		select {
		case <-p.Exited():
		default:
			if p.name != "manager" && p.name != "history" && p.name != "sidecar" {
				continue
			}
		}
		fmt.Fprintf(&tails, "The end of the log of %s:\n%s\n", p.name, tail(p.LogPath()))
	}
	return tails.String()
}

func tail(path string) string {
	const lines = 15
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// stop ends every program, frees the ports and removes the files.
func (c *cluster) stop() error {
	var err error
	if c.plane != nil {
		err = c.plane.Stop()
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// kill is stop for somebody who will not wait.
func (c *cluster) kill() {
	for _, p := range c.running() {
		_ = p.Signal(syscall.SIGKILL) // it may have ended
	}
	_ = os.RemoveAll(c.dir)
}

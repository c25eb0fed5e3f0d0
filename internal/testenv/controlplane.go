package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/tegata-dev/tegata/internal/testenv/spawner"
)

// Options say what control plane to start.
type Options struct {
	// Dir holds certificates and etcd's data; Stop removes it. It must be empty or absent. Without it, a
	// new directory for temporary files is taken.
	Dir string
	// LogDir takes the logs, and is left alone by Stop. Without it the logs are in Dir.
	LogDir string
	// BinDir holds etcd, kube-apiserver and, if ControllerManager is set, kube-controller-manager.
	BinDir string
	// ControllerManager starts kube-controller-manager too, with the controllers that make sense without
	// nodes: garbage collector, namespaces, service accounts and the like.
	ControllerManager bool
	// Log is told each step as a line. Without it nothing is told.
	Log io.Writer
}

// ControlPlane is a running control plane. Its methods may be called from several goroutines.
type ControlPlane struct {
	options   Options
	authority *authority
	spawner   *spawner.Spawner

	etcdPort, peerPort, apiPort, managerPort *port
	etcd, apiServer, controllerManager       *Process
	admin                                    keyPair

	mu        sync.Mutex
	processes []*Process
	ports     []*port
	stopped   bool
}

// StartControlPlane starts etcd and kube-apiserver, and kube-controller-manager if asked for, and returns
// when they are ready. ctx bounds the start only. On an error nothing is left running.
func StartControlPlane(ctx context.Context, options Options) (*ControlPlane, error) {
	options, err := options.prepare()
	if err != nil {
		return nil, fmt.Errorf("start a control plane: %w", err)
	}
	cp := &ControlPlane{options: options, spawner: spawner.New(errStopped)}
	if err := cp.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a control plane: %w", err), cp.Stop())
	}
	return cp, nil
}

// prepare fills in the defaults and makes the directories.
func (o Options) prepare() (Options, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	var err error
	if o.Dir == "" {
		o.Dir, err = os.MkdirTemp("", "tegata-controlplane-")
	} else {
		err = makeEmptyDir(o.Dir)
	}
	if err != nil {
		return o, err
	}
	if o.LogDir == "" {
		o.LogDir = o.Dir
	}
	return o, os.MkdirAll(o.LogDir, 0o700)
}

// makeEmptyDir refuses a directory with anything in it: Stop would remove that too.
func makeEmptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty", dir)
	}
	return nil
}

func (cp *ControlPlane) start(ctx context.Context) error {
	if err := cp.prepare(); err != nil {
		return err
	}
	var err error
	// The API server waits a second before it asks an etcd again that was not there: start in order.
	if cp.etcd, err = cp.StartProcess(ctx, cp.etcdCommand()); err != nil {
		return err
	}
	if cp.apiServer, err = cp.StartProcess(ctx, cp.apiServerCommand()); err != nil {
		return err
	}
	if !cp.options.ControllerManager {
		return nil
	}
	cp.controllerManager, err = cp.StartProcess(ctx, cp.controllerManagerCommand())
	return err
}

// StartProcess starts a program beside the control plane and waits until it is ready or ctx ends. Stop
// kills it, and so does the kernel when this process dies.
func (cp *ControlPlane) StartProcess(ctx context.Context, command Command) (*Process, error) {
	p := &Process{command: command, spawner: cp.spawner, logPath: filepath.Join(cp.options.LogDir, command.Name+".log")}
	start := time.Now()
	if err := cp.adopt(p); err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	cp.tell("%s is ready after %.1f s", command.Name, time.Since(start).Seconds())
	return p, nil
}

// adopt has Stop kill the process.
func (cp *ControlPlane) adopt(p *Process) error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.stopped {
		return fmt.Errorf("start %s: the control plane is stopped", p.command.Name)
	}
	cp.processes = append(cp.processes, p)
	return nil
}

// Stop kills every process that was started, newest first, frees the ports and removes Dir. It may be
// called more than once.
func (cp *ControlPlane) Stop() error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.stopped {
		return nil
	}
	cp.stopped = true
	var errs []error
	for _, p := range slices.Backward(cp.processes) {
		errs = append(errs, p.Kill())
	}
	cp.spawner.Close()
	for _, p := range cp.ports {
		errs = append(errs, p.release())
	}
	errs = append(errs, os.RemoveAll(cp.options.Dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the control plane: %w", err)
	}
	return nil
}

// Etcd is the process of etcd.
func (cp *ControlPlane) Etcd() *Process { return cp.etcd }

// APIServer is the process of kube-apiserver.
func (cp *ControlPlane) APIServer() *Process { return cp.apiServer }

// ControllerManager is the process of kube-controller-manager; nil when it was not asked for.
func (cp *ControlPlane) ControllerManager() *Process { return cp.controllerManager }

// Logs are the paths of the logs of everything that was started.
func (cp *ControlPlane) Logs() []string {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	var paths []string
	for _, p := range cp.processes {
		paths = append(paths, p.LogPath())
	}
	return paths
}

// AdminConfig is for a client that may do everything and that no limit holds back.
func (cp *ControlPlane) AdminConfig() *rest.Config { return cp.config(cp.admin) }

// UserConfig is for a client that is that user, of those groups, by a certificate. RBAC decides what it
// may do, so at first nothing.
func (cp *ControlPlane) UserConfig(name string, groups ...string) (*rest.Config, error) {
	pair, err := cp.authority.client(name, groups...)
	if err != nil {
		return nil, err
	}
	return cp.config(pair), nil
}

func (cp *ControlPlane) config(pair keyPair) *rest.Config {
	return &rest.Config{
		Host: cp.apiPort.url(),
		QPS:  -1,
		TLSClientConfig: rest.TLSClientConfig{
			CAData: cp.authority.pem, CertData: pair.certificate, KeyData: pair.key,
		},
	}
}

func (cp *ControlPlane) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(cp.options.Log, format+"\n", args...) // a log that cannot be written to stops nothing
}

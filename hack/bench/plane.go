package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// What is built and started.
const (
	sidecarPackage = "github.com/tegata-dev/tegata/cmd/sidecar"
	historyPackage = "github.com/tegata-dev/tegata/cmd/history"
)

// plane is a real control plane, and sidecars as they are shipped, each a process of its own. No manager
// runs: what it would make, newRelay makes.
type plane struct {
	cp         *testenv.ControlPlane
	client     client.Client
	proxy      *apiProxy
	binary     string
	kubeconfig string
	started    int
}

func startPlane(ctx context.Context, dir string) (_ *plane, err error) {
	p := &plane{binary: filepath.Join(dir, "sidecar"), kubeconfig: filepath.Join(dir, "kubeconfig")}
	if err := build(ctx, sidecarPackage, p.binary); err != nil {
		return nil, err
	}
	binDir, err := testenv.BinDir()
	if err != nil {
		return nil, err
	}
	p.cp, err = testenv.StartControlPlane(ctx, testenv.Options{BinDir: binDir, LogDir: filepath.Join(dir, "logs")})
	if err != nil {
		return nil, err
	}
	if err := p.prepare(ctx); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// build makes a program as `make build` does.
func build(ctx context.Context, pkg, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", binary, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

func (p *plane) prepare(ctx context.Context) error {
	config := p.cp.AdminConfig()
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return err
	}
	if p.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if err := testenv.Apply(ctx, p.client, benchNamespace, filepath.Join("config", "crd", "bases")); err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: benchNamespace}}
	if err := client.IgnoreAlreadyExists(p.client.Create(ctx, namespace)); err != nil {
		return err
	}
	if p.proxy, err = startProxy(config); err != nil {
		return err
	}
	return testenv.WriteKubeconfig(p.kubeconfig, &rest.Config{Host: p.proxy.address})
}

func (p *plane) stop() error {
	var err error
	if p.proxy != nil {
		err = p.proxy.close()
	}
	return errors.Join(err, p.cp.Stop())
}

// relay is a RelayServer in the API server, with users of one password.
type relay struct {
	name     string
	password string
	ring     *fingerprint.Keyring
	hash     password.Hash
}

// newRelay makes the server and its key Secret.
func (p *plane) newRelay(ctx context.Context, server *v1alpha1.RelayServer) (*relay, error) {
	r := &relay{name: server.Name}
	keys, ring, err := newKeys()
	if err != nil {
		return nil, err
	}
	r.ring = ring
	if r.password, r.hash, err = newCredential(); err != nil {
		return nil, err
	}
	if err := p.client.Create(ctx, server); err != nil {
		return nil, fmt.Errorf("make relay: %w", err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: benchNamespace, Name: fingerprint.SecretName(server.Name)}, Data: keys}
	return r, p.client.Create(ctx, secret)
}

// addUsers makes n users with the relay's password, several at a time. Change may be nil.
func (p *plane) addUsers(ctx context.Context, r *relay, n int, change func(i int, u *v1alpha1.RelayUser)) error {
	const atATime = 16
	uids := make([]types.UID, n)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atATime)
	for i := range n {
		group.Go(func() error {
			var err error
			uids[i], err = p.addUser(groupCtx, r, i, change)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	secrets, err := credentialSecrets(r.name, uids, r.hash)
	if err != nil {
		return err
	}
	for _, s := range secrets {
		if len(s.Data) == 0 {
			continue
		}
		if err := p.client.Create(ctx, s); err != nil {
			return fmt.Errorf("make credentials: %w", err)
		}
	}
	return nil
}

func (p *plane) addUser(ctx context.Context, r *relay, i int, change func(i int, u *v1alpha1.RelayUser)) (types.UID, error) {
	u := testenv.User(benchNamespace, r.user(i), r.name)
	if change != nil {
		change(i, u)
	}
	status := u.Status
	if err := p.client.Create(ctx, u); err != nil {
		return "", fmt.Errorf("make user: %w", err)
	}
	before := u.DeepCopy()
	u.Status = status
	if err := p.client.Status().Patch(ctx, u, client.MergeFrom(before)); err != nil {
		return "", fmt.Errorf("patch user: %w", err)
	}
	return u.UID, nil
}

// bind makes users that have logged in just now from the device that deviceOf tells.
func (r *relay) bind(i int, u *v1alpha1.RelayUser) {
	digest, err := digestOf(r.ring, deviceOf(i))
	if err != nil {
		panic(err) // deviceOf makes none that is malformed
	}
	now := metav1.Now()
	u.Status.Slots = []v1alpha1.SlotStatus{boundSlot(v1alpha1.SlotPC, digest)}
	u.Status.LastLoginTime = &now
}

// user is the name of a user; names are of one namespace, so the relay's is part of it.
func (r *relay) user(i int) string { return r.name + "-" + userName(i) }

// path is where the API server has a user.
func (r *relay) path(i int) string {
	return "/apis/" + v1alpha1.GroupVersion.String() + "/namespaces/" + benchNamespace + "/relayusers/" + r.user(i)
}

// sidecar is a running one.
type sidecar struct {
	process *testenv.Process
	address string
	probes  string
}

// startSidecar starts the shipped program for a relay, with its defaults but for the flags, and waits until it
// is ready.
func (p *plane) startSidecar(ctx context.Context, relay string, flags ...string) (*sidecar, error) {
	s := &sidecar{}
	for _, address := range []*string{&s.address, &s.probes} {
		free, err := testenv.FreeAddress()
		if err != nil {
			return nil, err
		}
		*address = free
	}
	p.started++
	var err error
	s.process, err = p.cp.StartProcess(ctx, testenv.Command{
		Name: fmt.Sprintf("sidecar-%d-%s", p.started, relay),
		Path: p.binary,
		Args: append([]string{
			"--server=" + relay, "--namespace=" + benchNamespace, "--kubeconfig=" + p.kubeconfig,
			"--identity=sidecar", "--login-address=" + s.address, "--probe-address=" + s.probes,
		}, flags...),
		Ready: func(ctx context.Context) error {
			return answers(ctx, "http://"+s.probes+"/readyz", "http://"+s.address+"/openapi.yaml")
		},
	})
	return s, err
}

func (s *sidecar) stop(ctx context.Context) error { return s.process.Terminate(ctx) }

func (s *sidecar) pid() int { return s.process.PID() }

// answers reports nil once all URLs answer with 200.
func answers(ctx context.Context, urls ...string) error {
	for _, u := range urls {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, u, http.NoBody)
		if err != nil {
			return err
		}
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", u, response.Status)
		}
	}
	return nil
}

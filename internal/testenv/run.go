package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tegata-dev/tegata/internal/testenv/sharing"
)

// errNotBuilt marks that the programs are absent, which skips tests in a developer's shell.
var errNotBuilt = errors.New("no control plane")

// shared is the Env of this test binary, started on the first use.
var shared = sharing.Shared[*Env]{
	Package: "testenv",
	Start:   func() (*Env, error) { return startEnv(Options{}) },
	Stop:    (*Env).stop,
}

// running are the Envs that an interrupt has to stop.
var running struct {
	mu   sync.Mutex
	envs map[*Env]bool
}

// Run runs the tests of a package and stops the shared control plane after them; on Ctrl-C it stops every
// one. Logs are kept when a test failed. It is to be called from TestMain, which passes its result to
// os.Exit.
func Run(m *testing.M) int {
	log.SetLogger(logr.Discard()) // what a test wants to log, it passes to what it starts
	defer removePrograms()
	return shared.Run(m, func() {
		stopAll()
		removePrograms()
	})
}

// Shared is the control plane of this test binary, which the first call starts. Tests keep apart by
// namespaces, and must not pause or kill it.
func Shared(t testing.TB) *Env {
	t.Helper()
	env, err := shared.Get(t)
	sharing.FailOrSkip(t, err, errNotBuilt)
	env.logPathsOnFailure(t)
	return env
}

// New is a control plane for this test alone, which it may pause, kill and restart. It ends with the test.
func New(t testing.TB) *Env { return newEnv(t, Options{}) }

// NewWithControllers is New with Kubernetes' own controllers: garbage is collected, and namespaces that are deleted go.
func NewWithControllers(t testing.TB) *Env { return newEnv(t, Options{ControllerManager: true}) }

func newEnv(t testing.TB, options Options) *Env {
	t.Helper()
	env, err := startEnv(options)
	sharing.FailOrSkip(t, err, errNotBuilt)
	t.Cleanup(func() {
		if err := env.stop(t.Failed()); err != nil {
			t.Error(err)
		}
	})
	env.logPathsOnFailure(t)
	return env
}

func startEnv(options Options) (*Env, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	binDir, err := BinDir()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotBuilt, err)
	}
	dir, err := os.MkdirTemp("", "tegata-testenv-")
	if err != nil {
		return nil, err
	}
	env := &Env{dir: dir, binDir: binDir}
	options.Dir, options.LogDir, options.BinDir = filepath.Join(dir, "control-plane"), dir, binDir
	env.ControlPlane, err = StartControlPlane(ctx, options)
	if err != nil {
		return nil, err // the logs that it names stay
	}
	track(env, true)
	if err := env.prepare(ctx); err != nil {
		return nil, errors.Join(err, env.stop(true))
	}
	return env, nil
}

// track notes that the Env runs, or that it does no longer.
func track(env *Env, runs bool) {
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.envs == nil {
		running.envs = map[*Env]bool{}
	}
	if runs {
		running.envs[env] = true
	} else {
		delete(running.envs, env)
	}
}

func stopAll() {
	running.mu.Lock()
	envs := slices.Collect(maps.Keys(running.envs))
	running.mu.Unlock()
	for _, env := range envs {
		if err := env.stop(false); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// errNotBuilt marks that the programs are absent, which skips tests in a developer's shell.
var errNotBuilt = errors.New("no control plane")

// shared is the Env of this test binary, started on the first use.
var shared struct {
	mu      sync.Mutex
	managed bool // Run has been called, so someone stops it
	env     *Env
	err     error
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
	shared.mu.Lock()
	shared.managed = true
	shared.mu.Unlock()

	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-interrupted; ok {
			stopAll()
			os.Exit(130)
		}
	}()
	code := m.Run()
	signal.Stop(interrupted)
	close(interrupted)
	stopShared(code != 0)
	return code
}

func stopShared(keepLogs bool) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.env == nil {
		return
	}
	if err := shared.env.stop(keepLogs); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	shared.env, shared.err = nil, errors.New("the tests are over")
}

// Shared is the control plane of this test binary, which the first call starts. Tests keep apart by
// namespaces, and must not pause or kill it.
func Shared(t testing.TB) *Env {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.managed {
		t.Fatal("testenv.Shared needs TestMain to call os.Exit(testenv.Run(m)), which stops it")
	}
	if shared.env == nil && shared.err == nil {
		shared.env, shared.err = startEnv(Options{})
	}
	failOrSkip(t, shared.err)
	shared.env.logPathsOnFailure(t)
	return shared.env
}

// New is a control plane for this test alone, which it may pause, kill and restart. It ends with the test.
func New(t testing.TB) *Env { return newEnv(t, Options{}) }

// NewWithControllers is New with Kubernetes' own controllers: garbage is collected, and namespaces that are deleted go.
func NewWithControllers(t testing.TB) *Env { return newEnv(t, Options{ControllerManager: true}) }

func newEnv(t testing.TB, options Options) *Env {
	t.Helper()
	env, err := startEnv(options)
	failOrSkip(t, err)
	t.Cleanup(func() {
		if err := env.stop(t.Failed()); err != nil {
			t.Error(err)
		}
	})
	env.logPathsOnFailure(t)
	return env
}

// failOrSkip skips where the programs are absent, but in CI nothing is ever skipped.
func failOrSkip(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errNotBuilt) && os.Getenv("CI") != "true":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
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

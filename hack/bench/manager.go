package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	managerPackage = "github.com/tegata-dev/tegata/cmd/manager"
	managed        = "bench-managed"
	// managedFew is how many users a small relay has.
	managedFew = 1_000
	// managedWait is for the largest step on a machine that does other things, too.
	managedWait = 40 * time.Minute
)

// measureManager has the shipped manager make a thousand users ready, and then many more, and start again with all of
// them: what it takes is what config/manager requests and limits. The users have hashes, which is what an import makes;
// a plain password costs a hash besides.
func measureManager(ctx context.Context, l *lab) ([]Row, error) {
	p, err := l.realPlane(ctx)
	if err != nil {
		return nil, err
	}
	m := &managedRelay{plane: p, many: scale(l, 100_000, 10_000)}
	if err := m.prepare(ctx, l.dir); err != nil {
		return nil, err
	}
	var rows []Row
	for _, step := range []struct {
		what  string
		users int
		begin func(context.Context, int) error
	}{
		{"with 1,000 users", managedFew, m.makeUsers},
		{fmt.Sprintf("with %d users", m.many), m.many, m.makeUsers},
		{fmt.Sprintf("started with %d users", m.many), m.many, func(ctx context.Context, _ int) error { return m.process.Restart(ctx) }},
	} {
		l.say("manager: %s", step.what)
		more, err := m.measure(ctx, step.what, step.users, step.begin)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", step.what, err)
		}
		rows = append(rows, more...)
	}
	return rows, m.process.Kill()
}

// managedRelay is a relay of which a manager takes care.
type managedRelay struct {
	*plane
	process *testenv.Process
	many    int
	made    int
}

func (m *managedRelay) prepare(ctx context.Context, dir string) error {
	binary := filepath.Join(dir, "manager")
	if err := build(ctx, managerPackage, binary); err != nil {
		return err
	}
	if err := testenv.Apply(ctx, m.client, historySystem, filepath.Join("config", "rbac")); err != nil {
		return err
	}
	config := rest.AnonymousClientConfig(m.cp.AdminConfig())
	var err error
	if config.BearerToken, err = m.token(ctx, historySystem, "tegata-manager"); err != nil {
		return err
	}
	kubeconfig := filepath.Join(dir, "manager.kubeconfig")
	if err := testenv.WriteKubeconfig(kubeconfig, config); err != nil {
		return err
	}
	_, hash, err := newCredential()
	if err != nil {
		return err
	}
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: managed}},
		testenv.Server(managed, "asp1"),
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: managed, Name: "password", Labels: map[string]string{v1alpha1.LabelSecretType: v1alpha1.SecretTypePassword},
			},
			StringData: map[string]string{"passwordHash": hash.Encoded()},
		},
	} {
		if err := m.client.Create(ctx, object); err != nil {
			return err
		}
	}
	m.process, err = m.cp.StartProcess(ctx, testenv.Command{Name: "manager", Path: binary, Args: []string{
		"--kubeconfig=" + kubeconfig, "--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0",
	}})
	return err
}

// makeUsers makes as many as are missing, which takes the API server longer than the manager.
func (m *managedRelay) makeUsers(ctx context.Context, users int) error {
	const writers = 16
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := m.made; i < users && ctx.Err() == nil; i++ {
		group.Go(func() error {
			user := testenv.User(managed, userName(i), "asp1", testenv.Mobile, testenv.WithPasswordSecret("password"))
			// On a busy machine etcd may time out, having made it or not.
			return retry.OnError(retry.DefaultBackoff, isTimeout, func() error {
				return client.IgnoreAlreadyExists(m.client.Create(ctx, user.DeepCopy()))
			})
		})
	}
	m.made = users
	return group.Wait()
}

func isTimeout(err error) bool {
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsInternalError(err) || apierrors.IsTooManyRequests(err)
}

// measure does the step, waits until the manager has nothing left to do, and tells what it has taken.
func (m *managedRelay) measure(ctx context.Context, what string, users int, begin func(context.Context, int) error) ([]Row, error) {
	ctx, cancel := context.WithTimeout(ctx, managedWait)
	defer cancel()
	before, err := cpuTime(m.process.PID())
	if err != nil {
		return nil, err
	}
	pid := m.process.PID()
	if err := begin(ctx, users); err != nil {
		return nil, err
	}
	if m.process.PID() != pid {
		before = 0
	}
	if err := m.settle(ctx, users); err != nil {
		return nil, err
	}
	resident, peak, err := memoryUse(m.process.PID())
	if err != nil {
		return nil, err
	}
	after, err := cpuTime(m.process.PID())
	if err != nil {
		return nil, err
	}
	return []Row{
		{What: "memory of the manager " + what, Unit: bytesUnit, Figure: Figure(resident)},
		{What: "… at its peak", Unit: bytesUnit, Figure: Figure(peak)},
		{What: "… CPU", Unit: nanoseconds, Figure: Figure(after - before)},
	}, nil
}

// settle waits until the relay's status counts all users and the manager has used no processor time to speak of in three
// looks: it may have been looked at before it has begun.
func (m *managedRelay) settle(ctx context.Context, users int) error {
	const look, idle, enough = 5 * time.Second, 100 * time.Millisecond, 3
	last, quiet := time.Duration(0), 0
	for {
		server := &v1alpha1.RelayServer{}
		if err := m.client.Get(ctx, client.ObjectKey{Namespace: managed, Name: "asp1"}, server); err != nil {
			return err
		}
		now, err := cpuTime(m.process.PID())
		if err != nil {
			return err
		}
		quiet++
		if int(server.Status.Users) != users || now-last >= idle {
			quiet = 0
		}
		if quiet == enough {
			return nil
		}
		last = now
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d users are counted: %w", server.Status.Users, users, ctx.Err())
		case <-time.After(look):
		}
	}
}

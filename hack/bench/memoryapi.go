package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/directory"
)

// memoryAPI is what a directory.Source reads, without an API server: one relay, whose users are made as
// they are listed, so that they do not count as anybody's memory.
type memoryAPI struct {
	client.WithWatch // nil: nothing but List and Watch is called

	server  *v1alpha1.RelayServer
	users   int
	user    func(i int) (*v1alpha1.RelayUser, error)
	secrets map[string]*corev1.Secret
}

// List serves pages as the API server does.
func (m *memoryAPI) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	options := (&client.ListOptions{}).ApplyOptions(opts)
	list.SetResourceVersion("1")
	list.SetContinue("")
	switch l := list.(type) {
	case *v1alpha1.RelayServerList:
		l.Items = []v1alpha1.RelayServer{*m.server}
	case *corev1.SecretList:
		l.Items = nil
		name, _ := options.FieldSelector.RequiresExactMatch("metadata.name")
		if s := m.secrets[name]; s != nil {
			l.Items = []corev1.Secret{*s}
		}
	case *v1alpha1.RelayUserList:
		return m.listUsers(l, options)
	default:
		return fmt.Errorf("list of %T", list)
	}
	return nil
}

func (m *memoryAPI) listUsers(l *v1alpha1.RelayUserList, o *client.ListOptions) error {
	first := 0
	if o.Continue != "" {
		var err error
		if first, err = strconv.Atoi(o.Continue); err != nil {
			return fmt.Errorf("continue: %w", err)
		}
	}
	end := min(first+int(o.Limit), m.users)
	l.Items = make([]v1alpha1.RelayUser, 0, end-first)
	for i := first; i < end; i++ {
		u, err := m.user(i)
		if err != nil {
			return err
		}
		l.Items = append(l.Items, *u)
	}
	if end < m.users {
		l.SetContinue(strconv.Itoa(end))
	}
	return nil
}

// Watch tells of nothing until ctx ends.
func (m *memoryAPI) Watch(ctx context.Context, _ client.ObjectList, _ ...client.ListOption) (watch.Interface, error) {
	w := watch.NewFake()
	context.AfterFunc(ctx, w.Stop)
	return w, nil
}

// read fills a directory with all that m has, as a sidecar does at its start.
func (m *memoryAPI) read(ctx context.Context) (*directory.Directory, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := directory.New(m.server.Name)
	source := directory.NewSource(m, m.server.Namespace, d, logr.Discard(), nil)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		source.Run(ctx)
	}()
	err := source.WaitForSync(ctx)
	cancel()
	<-stopped // with its pages, that the collector may have them
	return d, err
}

// generousServer is a relay whose throttle lets every load through.
func generousServer(name string, responseTime time.Duration) *v1alpha1.RelayServer {
	const mostFailures = 100_000
	limit := v1alpha1.ThrottleLimit{Failures: mostFailures, Interval: metav1.Duration{Duration: time.Second}}
	return &v1alpha1.RelayServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: benchNamespace, Name: name},
		Spec: v1alpha1.RelayServerSpec{
			Host:                "bench.example.com",
			Enrollment:          v1alpha1.EnrollmentFirstLogin,
			FailureHistoryLimit: 10,
			Denial:              v1alpha1.Denial{Code: 293, ResponseTime: metav1.Duration{Duration: responseTime}},
			Throttle:            v1alpha1.Throttle{PerUser: limit, PerSource: limit},
			Session:             v1alpha1.SessionPolicy{TTL: metav1.Duration{Duration: 8 * time.Hour}, MaxPerUser: 16},
			MaxStaleness:        metav1.Duration{Duration: 5 * time.Minute},
		},
	}
}

package main

import (
	"context"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/failures"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

// newService wires what answers logins as cmd/sidecar does, but for what talks to the API server: nobody
// enrols, the Lease holds, and what is recorded is gathered but not written.
func newService(d *directory.Directory, v authn.Verifier, log logr.Logger) (_ *authn.Service, stop func()) {
	return newRecordedService(d, v, log, nil, nil)
}

// newRecordedService is newService with a history, if it is not nil.
func newRecordedService(d *directory.Directory, v authn.Verifier, log logr.Logger, h authn.History, observers []session.Observer) (_ *authn.Service, stop func()) {
	registry := prometheus.NewRegistry()
	gathered := failures.NewRecorder(nobody{}, benchNamespace, failures.NewMetrics(registry), logr.Discard())
	sessions := session.New(session.Options{
		Issuer: benchNamespace + "/bench", Keys: d.SessionKeys, MaxPerUser: func() int { return d.Policy().SessionsPerUser },
		Keep: func(*session.Live) {}, Observers: observers,
	})
	service := authn.NewService(authn.Dependencies{
		Directory: d, Verifier: v, Liveness: alwaysFresh{}, Metrics: authn.NewMetrics(registry), Log: log,
		Recorder: failures.Attempts{Recorder: gathered, Sidecar: "bench"}, History: h, Sessions: sessions,
	})
	return service, func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		gathered.Run(ctx)
	}
}

// nobody is an API server without users, so that what was gathered is dropped in the end.
type nobody struct{ failures.Client }

func (nobody) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "relayusers"}, key.Name)
}

// newLogger is the sidecar's: JSON, to standard error.
func newLogger() logr.Logger {
	return zap.New(zap.Level(zapcore.InfoLevel), zap.StacktraceLevel(zapcore.PanicLevel)).WithName("sidecar")
}

type alwaysFresh struct{}

func (alwaysFresh) Fresh() bool { return true }

// unhashed does what a Verifier does but for the hash: it reads the stored one and normalises the password.
type unhashed struct{ password string }

func (u unhashed) Verify(_ context.Context, h password.Hash, plain []byte, _ password.Priority) (bool, error) {
	if h.IsZero() {
		return false, nil
	}
	if _, err := password.Parse(h.Encoded()); err != nil {
		return false, err
	}
	return password.CheckPlain(plain) == nil && string(plain) == u.password, nil
}

// skipsZeroHash is the mistake that the measurement of decision times must find: where there is no hash
// to check against, none is computed.
type skipsZeroHash struct{ authn.Verifier }

func (s skipsZeroHash) Verify(ctx context.Context, h password.Hash, plain []byte, p password.Priority) (bool, error) {
	if h.IsZero() {
		return false, nil
	}
	return s.Verifier.Verify(ctx, h, plain, p)
}

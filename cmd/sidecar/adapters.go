package main

import (
	"cmp"
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/endings"
	"github.com/tegata-dev/tegata/internal/liveness"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

// defaultStaleness holds while the relay's policy is not known; nobody is admitted then anyway.
const defaultStaleness = 5 * time.Minute

func maxStaleness(d *directory.Directory) func() time.Duration {
	return func() time.Duration {
		if p := d.Policy(); p != nil && p.MaxStaleness > 0 {
			return p.MaxStaleness
		}
		return defaultStaleness
	}
}

func newKeeper(o *options, api client.WithWatch, users *directory.Directory, source *directory.Source, annotations func() map[string]string, log logr.Logger) *liveness.Keeper {
	return liveness.NewKeeper(liveness.KeeperOptions{
		Client: api, Namespace: o.namespace, Server: o.server, Identity: o.identity,
		Duration: maxStaleness(users), Observed: users.Observed, Resync: source.Resync, FailingSince: source.FailingSince,
		Annotations: annotations, Log: log.WithName("lease"),
	})
}

func newVerifier(o *options, registry prometheus.Registerer) *password.Verifier {
	return password.NewVerifier(password.Options{
		Slots: o.hashSlots, Queue: o.hashQueue, PreferredQueue: o.hashQueue, Metrics: password.NewMetrics(registry),
	})
}

func newSessions(o *options, users *directory.Directory, ended *endings.Writer, observers ...session.Observer) *session.Sessions {
	return session.New(session.Options{
		Issuer: o.namespace + "/" + o.server, Keys: users.SessionKeys, MaxPerUser: maxSessions(users),
		Keep: func(l *session.Live) { ended.End(l.Details.User, l.UID, l.ID) }, Observers: observers,
	})
}

// enroller stores what authn wants enrolled by package binding.
type enroller struct{ binding.Enroller }

func (e enroller) Enroll(ctx context.Context, r authn.Enrollment) (authn.Enrolled, error) {
	enrolled, err := e.Enroller.Enroll(ctx, binding.Request{
		Name:   r.Account.Name,
		UID:    r.Account.UID,
		Slot:   directory.SlotNames[r.Slot],
		Digest: r.Device.Digests[0],
		Kind:   v1alpha1.FingerprintKind(r.Kind),
		Source: r.Source,
		Time:   r.Time,
		Decide: r.Decide,
	})
	return authn.Enrolled(enrolled), err
}

// maxSessions is how many sessions a user may have at a time.
func maxSessions(d *directory.Directory) func() int {
	return func() int {
		if p := d.Policy(); p != nil {
			return p.SessionsPerUser
		}
		return 1
	}
}

// sessionLog logs sessions that begin and end.
type sessionLog struct {
	log   logr.Logger
	users *directory.Directory
}

func (s sessionLog) Began(l *session.Live) { s.log.V(1).Info("Session began", s.fields(l)...) }

func (s sessionLog) Ended(l *session.Live, cause session.Cause, at time.Time) {
	s.log.Info("Session ended", append(s.fields(l), "cause", string(cause), "seconds", at.Sub(l.Begin).Seconds())...)
}

// fields tell of a session. It knows its user by the UID alone when it began at another sidecar, and the directory
// does not know a user who is gone.
func (s sessionLog) fields(l *session.Live) []any {
	fields := []any{"session", l.ID, "userUID", l.UID, "slot", l.Slot().String()}
	if name := cmp.Or(s.users.NameOf(l.UID), l.Details.User); name != "" {
		fields = append(fields, "user", name)
	}
	return fields
}

func registerGauges(r prometheus.Registerer, d *directory.Directory, k *liveness.Keeper, s *session.Sessions) {
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tegata_sessions", Help: "Sessions that were issued or used here and are not over.",
		}, func() float64 { return float64(s.Count()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tegata_directory_users", Help: "RelayUsers of this server that the sidecar knows.",
		}, func() float64 { return float64(d.Users()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tegata_sidecar_fresh", Help: "1 while the sidecar's Lease holds; at 0 it admits nobody.",
		}, func() float64 {
			if k.Fresh() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tegata_directory_silence_seconds", Help: "Time since the API server last confirmed what the sidecar knows of users.",
		}, func() float64 {
			_, at := d.Observed()
			if at.IsZero() {
				return 0
			}
			return time.Since(at).Seconds()
		}),
	)
}

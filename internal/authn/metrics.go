package authn

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/decision"
)

// Metrics count what was answered. Labels come from closed sets.
type Metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	enrolled prometheus.Counter
	sessions *prometheus.CounterVec
	// admitted are the counters of session checks that passed, by listener: looking them up costs as much as
	// a decision.
	admitted sync.Map // of prometheus.Counter
}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tegata_login_attempts_total",
			Help: "Logins answered, by listener, verdict and reason (empty when allowed).",
		}, []string{"listener", "verdict", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tegata_login_decision_seconds",
			Help:    "Time from a login's arrival to its decision, before a denial is held back.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"listener", "verdict"}),
		enrolled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tegata_enrollments_total",
			Help: "Devices registered by a first login.",
		}),
	}
	m.sessions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tegata_session_checks_total",
		Help: "Requests under a session answered, by listener, verdict and reason (empty when allowed).",
	}, []string{"listener", "verdict", "reason"})
	r.MustRegister(m.attempts, m.seconds, m.enrolled, m.sessions)
	return m
}

func (m *Metrics) observeSession(listener string, o decision.Outcome) {
	if o.Verdict != decision.Allow {
		m.sessions.WithLabelValues(listener, o.Verdict.String(), o.Reason.String()).Inc()
		return
	}
	counter, ok := m.admitted.Load(listener)
	if !ok {
		counter, _ = m.admitted.LoadOrStore(listener, m.sessions.WithLabelValues(listener, o.Verdict.String(), ""))
	}
	if c, ok := counter.(prometheus.Counter); ok {
		c.Inc()
	}
}

func (m *Metrics) observe(listener string, r Result, took time.Duration) {
	m.attempts.WithLabelValues(listener, r.Verdict.String(), r.Reason.String()).Inc()
	m.seconds.WithLabelValues(listener, r.Verdict.String()).Observe(took.Seconds())
	if r.Enrolled {
		m.enrolled.Inc()
	}
}

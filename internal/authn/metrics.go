package authn

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what was answered. Labels come from closed sets.
type Metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	enrolled prometheus.Counter
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
	r.MustRegister(m.attempts, m.seconds, m.enrolled)
	return m
}

func (m *Metrics) observe(listener string, r Result, took time.Duration) {
	m.attempts.WithLabelValues(listener, r.Verdict.String(), r.Reason.String()).Inc()
	m.seconds.WithLabelValues(listener, r.Verdict.String()).Observe(took.Seconds())
	if r.Enrolled {
		m.enrolled.Inc()
	}
}

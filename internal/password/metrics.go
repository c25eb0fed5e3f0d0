package password

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of one Verifier. The nil Metrics reports nothing.
type Metrics struct {
	inFlight prometheus.Gauge
	waiting  *prometheus.GaugeVec
	refused  *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewMetrics registers the metrics. It panics when they are registered there already.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tegata_password_hashes_in_flight",
			Help: "Password hashes that are being computed.",
		}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tegata_password_waiting",
			Help: "Attempts that wait for a hash slot, by priority (ordinary, preferred).",
		}, []string{"priority"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tegata_password_refused_total",
			Help: "Attempts that got no hash slot, because the queue was full or they could not wait longer, by priority.",
		}, []string{"priority"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tegata_password_hash_duration_seconds",
			Help:    "Time that one password hash took, without waiting, by algorithm.",
			Buckets: prometheus.ExponentialBuckets(0.004, 2, 10),
		}, []string{"algorithm"}),
	}
	r.MustRegister(m.inFlight, m.waiting, m.refused, m.duration)
	for _, p := range []Priority{Ordinary, Preferred} {
		m.waiting.WithLabelValues(p.String())
		m.refused.WithLabelValues(p.String())
	}
	return m
}

func (m *Metrics) waits(p Priority, change float64) {
	if m != nil {
		m.waiting.WithLabelValues(p.String()).Add(change)
	}
}

func (m *Metrics) refuse(p Priority) {
	if m != nil {
		m.refused.WithLabelValues(p.String()).Inc()
	}
}

// computes notes a hash that begins; the function it returns notes its end.
func (m *Metrics) computes(a Algorithm, begin time.Time) func() {
	if m == nil {
		return func() {}
	}
	m.inFlight.Inc()
	return func() {
		m.inFlight.Dec()
		m.duration.WithLabelValues(string(a)).Observe(time.Since(begin).Seconds())
	}
}

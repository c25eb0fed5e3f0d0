package recorder

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics tell how records fare. Labels come from closed sets.
type Metrics struct {
	registry    prometheus.Registerer
	lost        *prometheus.CounterVec
	sent        prometheus.Counter
	dropped     prometheus.Counter
	refused     prometheus.Counter
	failures    *prometheus.CounterVec
	lastSuccess prometheus.Gauge
}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		registry: r,
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tegata_history_lost_records_total",
			Help: "Records of connection attempts that will not reach the history server, by cause.",
		}, []string{"cause"}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tegata_history_sent_records_total", Help: "Records that the history server has kept.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tegata_history_dropped_records_total",
			Help: "Records that the history server has left out, because their time or their user is forgotten.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tegata_history_refused_records_total", Help: "Records that the history server does not take. They are lost.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tegata_history_send_failures_total", Help: "Batches that could not be sent and are tried again, by HTTP status; 0 for none.",
		}, []string{"status"}),
		lastSuccess: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tegata_history_last_success_timestamp_seconds", Help: "When a batch was last sent, in seconds since 1970; 0 for never.",
		}),
	}
	for _, cause := range causes {
		m.lost.WithLabelValues(string(cause))
	}
	r.MustRegister(m.lost, m.sent, m.dropped, m.refused, m.failures, m.lastSuccess)
	return m
}

// observe registers what is read when it is asked for.
func (m *Metrics) observe(state func() State) {
	for _, g := range []struct {
		name, help string
		value      func(State) float64
	}{
		{"tegata_history_spooled_records", "Records that are not yet at the history server, on disk or in memory.", func(s State) float64 { return float64(s.Waiting) }},
		{"tegata_history_spooled_bytes", "What the spool takes on disk.", func(s State) float64 { return float64(s.Bytes) }},
		{"tegata_history_spool_limit_bytes", "What the spool may take on disk; 0 when records wait in memory.", func(s State) float64 { return float64(s.Limit) }},
		{"tegata_history_oldest_seconds", "For how long the oldest of the spooled records has waited.", func(s State) float64 { return s.Age.Seconds() }},
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, func() float64 { return g.value(state()) }))
	}
}

func (m *Metrics) took(a Answer, now time.Time) {
	m.sent.Add(float64(a.Kept))
	m.dropped.Add(float64(a.Dropped))
	m.lastSuccess.Set(float64(now.UnixMilli()) / 1000)
}

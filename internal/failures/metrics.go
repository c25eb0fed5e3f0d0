package failures

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what is written.
type Metrics struct {
	writes  prometheus.Counter
	pending prometheus.Gauge
}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		writes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tegata_status_writes_total",
			Help: "Writes of login failures and login times to RelayUser status.",
		}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tegata_status_pending_users",
			Help: "Users with failures or logins that are not written yet, or were written just now.",
		}),
	}
	r.MustRegister(m.writes, m.pending)
	return m
}

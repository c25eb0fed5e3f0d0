package historyserver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/history"
)

// metrics count what is kept and read. Labels come from closed sets.
type metrics struct {
	batches     *prometheus.CounterVec
	records     *prometheus.CounterVec
	putSeconds  prometheus.Histogram
	listSeconds *prometheus.HistogramVec
	watches     prometheus.Gauge
	closed      prometheus.Counter
	erased      *prometheus.CounterVec
	rounds      *prometheus.CounterVec
	clockOffset prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		batches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tegata_history_batches_total",
			Help: "Batches of records that sidecars sent, by outcome (kept, malformed, busy, over-quota, failed).",
		}, []string{"outcome"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tegata_history_records_total",
			Help: "Records that sidecars sent, by outcome (new, changed, same, dropped, refused).",
		}, []string{"outcome"}),
		putSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tegata_history_put_seconds", Help: "Time for which the store kept a batch.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		listSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tegata_history_list_seconds", Help: "Time for which the store read a page, by whether an index holds its records.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"indexed"}),
		watches: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tegata_history_watches", Help: "Clients that follow the records.",
		}),
		closed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tegata_history_lost_ends_total", Help: "Connections that were closed because no end was told in time.",
		}),
		erased: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tegata_history_erased_records_total", Help: "Records that were erased, by cause (retention, forgotten).",
		}, []string{"cause"}),
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tegata_history_housekeeping_total", Help: "Rounds of housekeeping, by task (lost, retention) and outcome (done, failed).",
		}, []string{"task", "outcome"}),
		clockOffset: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tegata_history_clock_offset_seconds", Help: "How far this server's clock is ahead of the API server's.",
		}),
	}
	r.MustRegister(m.batches, m.records, m.putSeconds, m.listSeconds, m.watches, m.closed, m.erased, m.rounds, m.clockOffset)
	return m
}

func (m *metrics) listed(indexed bool, took time.Duration) {
	label := "no"
	if indexed {
		label = "yes"
	}
	m.listSeconds.WithLabelValues(label).Observe(took.Seconds())
}

func (m *metrics) put(stored history.Stored, refused int, took time.Duration) {
	m.batches.WithLabelValues("kept").Inc()
	m.putSeconds.Observe(took.Seconds())
	for outcome, n := range map[string]int{
		"new": stored.New, "changed": stored.Changed, "same": stored.Same, "dropped": stored.Dropped, "refused": refused,
	} {
		m.records.WithLabelValues(outcome).Add(float64(n))
	}
}

func (m *metrics) batch(outcome string) { m.batches.WithLabelValues(outcome).Inc() }

func (m *metrics) watching(n int) { m.watches.Add(float64(n)) }

func (m *metrics) forgot(n int) { m.erased.WithLabelValues("forgotten").Add(float64(n)) }

func (m *metrics) expired(n int) { m.erased.WithLabelValues("retention").Add(float64(n)) }

func (m *metrics) round(task string, err error) {
	outcome := "done"
	if err != nil {
		outcome = "failed"
	}
	m.rounds.WithLabelValues(task, outcome).Inc()
}

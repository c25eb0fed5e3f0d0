package extauthz

import "github.com/prometheus/client_golang/prometheus"

// cause is why a request was refused without asking the service, or without an answer.
type cause string

const (
	causeMalformed    cause = "Malformed"    // it is no CheckRequest
	causeInvalid      cause = "Invalid"      // a login is not of the documented form
	causeNoCredential cause = "NoCredential" // the request shows none
	causeBusy         cause = "Busy"         // there is no room for it
	causeDeadline     cause = "Deadline"     // the caller did not wait for the denial
)

// Metrics count what the service does not. Labels come from closed sets.
type Metrics struct{ failures *prometheus.CounterVec }

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tegata_extauthz_failures_total",
		Help: "Requests that the ext_authz listener refused without a decision, or whose denial nobody waited for, by cause.",
	}, []string{"cause"})}
	for _, c := range []cause{causeMalformed, causeInvalid, causeNoCredential, causeBusy, causeDeadline} {
		m.failures.WithLabelValues(string(c))
	}
	r.MustRegister(m.failures)
	return m
}

func (m *Metrics) failed(c cause) { m.failures.WithLabelValues(string(c)).Inc() }

package forwardauth

import "github.com/prometheus/client_golang/prometheus"

// cause is why a request was refused without asking the service.
type cause string

const (
	causeInvalid      cause = "Invalid"      // a login is not of the documented form
	causeNoCredential cause = "NoCredential" // the request shows none
	causeOrigin       cause = "Origin"       // a page of another origin sent it
	causeBusy         cause = "Busy"         // there is no room for it
)

// Metrics count what the service does not. Labels come from closed sets.
type Metrics struct{ failures *prometheus.CounterVec }

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tegata_forwardauth_failures_total",
		Help: "Requests that the forward auth listener refused without a decision, by cause.",
	}, []string{"cause"})}
	for _, c := range []cause{causeInvalid, causeNoCredential, causeOrigin, causeBusy} {
		m.failures.WithLabelValues(string(c))
	}
	r.MustRegister(m.failures)
	return m
}

func (m *Metrics) failed(c cause) { m.failures.WithLabelValues(string(c)).Inc() }

package radius

import (
	"github.com/prometheus/client_golang/prometheus"
	"layeh.com/radius"
)

// kind is what a packet is, from a closed set.
type kind int

const (
	kindAccess kind = iota
	kindAccounting
	kindStatus
	kindOther
	kinds
)

var kindNames = [kinds]string{"access-request", "accounting-request", "status-server", "other"}

func kindOf(code byte) kind {
	switch radius.Code(code) {
	case radius.CodeAccessRequest:
		return kindAccess
	case radius.CodeAccountingRequest:
		return kindAccounting
	case radius.CodeStatusServer:
		return kindStatus
	}
	return kindOther
}

// outcome is what came of a packet, from a closed set.
type outcome int

const (
	accepted outcome = iota
	rejected
	answered
	repeated
	pending
	unknownClient
	malformed
	unexpected
	notAuthentic
	unsigned
	busy
	abandoned
	outcomes
)

var outcomeNames = [outcomes]string{
	"accepted", "rejected", "answered", "repeated", "pending", "unknown-client", "malformed", "unexpected", "not-authentic",
	"without-message-authenticator", "busy", "abandoned",
}

// ending is what came of a Disconnect-Request, from a closed set.
type ending int

const (
	acknowledged ending = iota
	refused
	unknownThere
	unanswered
	unreachable
	unnamed
	dropped
	endings
)

var endingNames = [endings]string{
	"acknowledged", "refused", "unknown-session", "unanswered", "unreachable", "unnamed", "dropped",
}

// Metrics count packets and Disconnect-Requests. Labels come from closed sets.
type Metrics struct {
	packets     [kinds][outcomes]prometheus.Counter
	disconnects [endings]prometheus.Counter
}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics {
	packets := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tegata_radius_packets_total",
		Help: "RADIUS packets received, by kind and by what came of them.",
	}, []string{"kind", "outcome"})
	disconnects := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tegata_radius_disconnects_total",
		Help: "Connections that a RADIUS client was to end, by what came of it.",
	}, []string{"outcome"})
	r.MustRegister(packets, disconnects)
	m := &Metrics{}
	for k := range kinds {
		for o := range outcomes {
			m.packets[k][o] = packets.WithLabelValues(kindNames[k], outcomeNames[o])
		}
	}
	for e := range endings {
		m.disconnects[e] = disconnects.WithLabelValues(endingNames[e])
	}
	return m
}

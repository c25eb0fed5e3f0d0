package radius

import (
	"bytes"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"github.com/tegata-dev/tegata/internal/nas"
	"github.com/tegata-dev/tegata/internal/session"
)

// account takes note of what a NAS tells, and acknowledges it. What it cannot make anything of it acknowledges,
// too: a NAS would send it again and again.
func (h *Handler) account(x *exchange) {
	status := x.integer(rfc2866.AcctStatusType_Type)
	if status == 0 {
		h.drop(x, malformed)
		return
	}
	switch rfc2866.AcctStatusType(status) {
	case rfc2866.AcctStatusType_Value_Start, rfc2866.AcctStatusType_Value_InterimUpdate:
		h.goesOn(x)
	case rfc2866.AcctStatusType_Value_Stop:
		h.stopped(x)
	case rfc2866.AcctStatusType_Value_AccountingOn, rfc2866.AcctStatusType_Value_AccountingOff:
		h.restarted(x)
	}
	h.answer(x, radius.CodeAccountingResponse, nil, answered)
}

// goesOn notes a connection's life. One whose session is over has to end, and if the NAS was told so before, it
// is told again.
func (h *Handler) goesOn(x *exchange) {
	l := h.Connections.progress(x, rfc2866.AcctStatusType(x.integer(rfc2866.AcctStatusType_Type)) == rfc2866.AcctStatusType_Value_Start)
	if l == nil {
		return
	}
	l.NoteTraffic(x.traffic())
	if !h.Service.ContinueSession(l) {
		h.Connections.endAgain(l.ID)
	}
}

// stopped ends a session whose connection has ended.
func (h *Handler) stopped(x *exchange) {
	report := x.reported()
	l, other := h.Connections.stop(report)
	switch {
	case other:
		return
	case l != nil:
		l.NoteTraffic(x.traffic())
		h.Service.StopSession(l)
	case report.sessionID == "" || !h.Service.StopSessionOf(x.text(rfc2865.UserName_Type), report.sessionID):
		return // of somebody else's session, or told before
	}
	id := report.sessionID
	if l != nil {
		id = l.ID
	}
	traffic := x.traffic()
	fields := []any{
		"session", id, "client", x.client.Name, "seconds", x.integer(rfc2866.AcctSessionTime_Type),
		"bytesReceived", traffic.Received, "bytesSent", traffic.Sent,
	}
	if cause := x.integer(rfc2866.AcctTerminateCause_Type); cause != 0 { // a gateway need not tell
		fields = append(fields, "cause", rfc2866.AcctTerminateCause(cause).String())
	}
	h.Log.Info("Connection ended", fields...)
}

// restarted ends all sessions of a NAS that starts or stops: it has no connections any more.
func (h *Handler) restarted(x *exchange) {
	ended := 0
	for _, l := range h.Connections.stopAll(deviceOf(&x.packet, x.client.Name, x.from)) {
		if h.Service.StopSession(l) {
			ended++
		}
	}
	h.Log.Info("Gateway started or stopped accounting", "client", x.client.Name, "source", x.from.Addr().String(), "sessionsEnded", ended)
}

// report is what a NAS tells of one connection.
type report struct {
	device
	// sessionID is in the Class that the NAS was given; empty when it does not repeat it.
	sessionID string
	// accounting is the NAS's own name of the connection (Acct-Session-Id).
	accounting string
	// naming are attributes by which the NAS finds the connection. They are there once it is remembered.
	naming radius.Attributes
}

func (x *exchange) reported() report {
	r := report{
		device: deviceOf(&x.packet, x.client.Name, x.from), accounting: x.text(rfc2866.AcctSessionID_Type),
	}
	for class := range x.each(nas.Attribute{Type: byte(rfc2865.Class_Type)}) {
		if id, ok := bytes.CutPrefix(class, []byte(classPrefix)); ok {
			r.sessionID = string(id)
			break
		}
	}
	return r
}

// naming are the attributes that tell a NAS which connection is meant (RFC 5176, section 3).
func (x *exchange) naming() radius.Attributes {
	var named radius.Attributes
	for _, t := range []radius.Type{
		rfc2865.UserName_Type, rfc2865.NASIPAddress_Type, nasIPv6Address, rfc2865.NASIdentifier_Type, rfc2866.AcctSessionID_Type,
		rfc2865.NASPort_Type, rfc2869.NASPortID_Type, rfc2865.FramedIPAddress_Type, rfc2865.CallingStationID_Type,
	} {
		if value := x.get(t); len(value) > 0 {
			named.Add(t, bytes.Clone(value))
		}
	}
	return named
}

// traffic is what the NAS counted: "input" is what came from the person.
func (x *exchange) traffic() session.Traffic {
	wide := func(low, high radius.Type) uint64 { return uint64(x.integer(high))<<32 | uint64(x.integer(low)) }
	return session.Traffic{
		Received: wide(rfc2866.AcctInputOctets_Type, rfc2869.AcctInputGigawords_Type),
		Sent:     wide(rfc2866.AcctOutputOctets_Type, rfc2869.AcctOutputGigawords_Type),
	}
}

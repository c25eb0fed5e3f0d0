// Package history is what is kept of every connection attempt: the record, how two tellings of one attempt
// become one, what can be asked, and the Store that keeps it.
//
// It knows no database, no Kubernetes and no protocol: those are packages sqlite and postgres below it, and
// the history server. A record must not hold a secret: no password, no token, no raw fingerprint.
package history

import (
	"time"

	"github.com/oklog/ulid/v2"
)

// ID identifies a record, and orders records by the time at which their attempts began, which it holds in
// milliseconds. A denied attempt's is its correlation id, an admitted one's its session's id.
type ID = ulid.ULID

// Result is how an attempt ended.
type Result string

// The results.
const (
	Success Result = "Success"
	Failure Result = "Failure"
)

// End is how a record's connection came to its end. It says which of two tellings is nearer to the truth.
type End string

// The ends. A failed attempt has none of these but EndNone: it was never connected.
const (
	// EndNone: no end was told. The connection lasts, or the attempt failed.
	EndNone End = ""
	// Lost: no end was told in the time that the connection could last. It ends with its last sign of life.
	Lost End = "Lost"
	// Expired: its time was over.
	Expired End = "Expired"
	// Replaced: newer sessions of the user took its place.
	Replaced End = "Replaced"
	// Refused: what is known of the user or the relay does not admit it any more.
	Refused End = "Refused"
	// Stopped: the gateway told that the connection has ended.
	Stopped End = "Stopped"
	// Logout: the person asked for it.
	Logout End = "Logout"
)

// rank orders the ends by how much each knows. Who asked for the end, or carried the connection, knows when it was;
// a sidecar that refuses a session knows only of itself; that its time is over is known from the beginning.
func (e End) rank() int {
	switch e {
	case Logout, Stopped:
		return 4
	case Refused, Replaced:
		return 3
	case Expired:
		return 2
	case Lost:
		return 1
	}
	return 0
}

// Record is one connection attempt, as far as it has been told. Times are in UTC, of whole milliseconds.
type Record struct {
	ID ID `cbor:"1,keyasint"`
	// Namespace and Server name the RelayServer. They are not sent, but known from who sends.
	Namespace string `cbor:"-"`
	Server    string `cbor:"-"`

	// Partial says that the login was not told yet: only what its session's token shows, and what came later.
	Partial bool `cbor:"2,keyasint,omitempty"`

	// UserName is the login name as typed, where the server's policy keeps it. User is the name of the RelayUser
	// whose it is, empty when it is nobody's.
	UserName string `cbor:"3,keyasint,omitempty"`
	User     string `cbor:"4,keyasint,omitempty"`
	// Program is viewer or client; Viewer pc, mobile or unbound; Slot pc, mobile or empty.
	Program string `cbor:"5,keyasint,omitempty"`
	Viewer  string `cbor:"6,keyasint,omitempty"`
	Slot    string `cbor:"7,keyasint,omitempty"`

	Result Result `cbor:"8,keyasint"`
	// Reason is why an attempt was denied, one of v1alpha1.Reason; empty for a success.
	Reason string `cbor:"9,keyasint,omitempty"`
	// Enrolled says that the attempt registered its device.
	Enrolled bool `cbor:"10,keyasint,omitempty"`

	// Expire is until when the connection can last; zero for a failure.
	Expire Millis `cbor:"11,keyasint,omitempty"`
	// LastSeen is the last sign of life; zero for none.
	LastSeen Millis `cbor:"12,keyasint,omitempty"`
	// End and EndTime say how and when the connection was told to have ended. EndTime is zero with EndNone.
	End     End    `cbor:"13,keyasint,omitempty"`
	EndTime Millis `cbor:"14,keyasint,omitempty"`

	// SourceAddress is the person's IP address, MACAddress as the device reports it.
	SourceAddress string `cbor:"15,keyasint,omitempty"`
	MACAddress    string `cbor:"16,keyasint,omitempty"`
	// Destination is the client that a viewer wants to reach; SourceViewer the viewer that reaches a client.
	Destination  string `cbor:"17,keyasint,omitempty"`
	SourceViewer string `cbor:"18,keyasint,omitempty"`
	// Listener and Sidecar answered the attempt.
	Listener string `cbor:"19,keyasint,omitempty"`
	Sidecar  string `cbor:"20,keyasint,omitempty"`
	// CorrelationID is the attempt's id in the sidecar's log; empty when it is the record's own.
	CorrelationID string `cbor:"21,keyasint,omitempty"`
	// DeviceDigest is the keyed digest of the device's fingerprint.
	DeviceDigest string `cbor:"22,keyasint,omitempty"`
	// ReceivedBytes and SentBytes are as the gateway tells, seen from the gateway.
	ReceivedBytes uint64 `cbor:"23,keyasint,omitempty"`
	SentBytes     uint64 `cbor:"24,keyasint,omitempty"`
}

// Millis is a time in milliseconds since 1970, zero for none.
type Millis int64

// At is the time in milliseconds; zero of the zero time.
func At(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time is the time in UTC; the zero time of zero.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// Start is when the attempt began.
func (r *Record) Start() Millis { return Millis(r.ID.Time()) } //nolint:gosec // 48 bits

// Open says whether the connection lasts, as far as it has been told.
func (r *Record) Open() bool { return r.Result == Success && r.End == EndNone }

// Finish is when the attempt ended: for a failure, when it began; zero while the connection lasts. A sidecar that
// ended a session for itself may not have been the last one to serve it: a later sign of life counts.
func (r *Record) Finish() Millis {
	switch {
	case r.Result == Failure:
		return r.Start()
	case r.End == EndNone:
		return 0
	case r.End.rank() >= Stopped.rank():
		return max(r.Start(), r.EndTime)
	}
	return max(r.Start(), r.EndTime, r.LastSeen)
}

// Connected is for how long the connection has lasted, as far as it has been told; zero for a failure.
func (r *Record) Connected() time.Duration {
	if r.Result == Failure {
		return 0
	}
	end := r.Finish()
	if end == 0 {
		end = max(r.Start(), r.LastSeen)
	}
	return time.Duration(end-r.Start()) * time.Millisecond
}

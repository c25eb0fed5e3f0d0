package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Result is whether an attempt was admitted.
// +enum
type Result string

const (
	// ResultSuccess: the attempt was admitted.
	ResultSuccess Result = "Success"
	// ResultFailure: the attempt was denied, and reason says why.
	ResultFailure Result = "Failure"
)

// State is whether a connection lasts.
// +enum
type State string

const (
	// StateOpen: the connection lasts, as far as is known.
	StateOpen State = "Open"
	// StateEnded: the connection has ended.
	StateEnded State = "Ended"
	// StateLost: the connection can last no longer, and nobody told when it ended.
	StateLost State = "Lost"
)

// End is how a connection came to its end.
// +enum
type End string

const (
	// EndLogout: the person asked for it.
	EndLogout End = "Logout"
	// EndStopped: the gateway told that the connection has ended.
	EndStopped End = "Stopped"
	// EndRefused: what is known of the user or the relay does not admit it any more.
	EndRefused End = "Refused"
	// EndReplaced: newer sessions of the user took its place.
	EndReplaced End = "Replaced"
	// EndExpired: its time was over.
	EndExpired End = "Expired"
	// EndLost: no end was told in the time that it could last. It ends with its last sign of life.
	EndLost End = "Lost"
)

// +kubebuilder:object:root=true

// AccessRecord is one connection attempt: who, when, for how long, from where, and why not. Its name is the
// attempt's id, and records are listed newest first.
//
// It can be read and watched, not written. Records of one user are erased together, with
// `kubectl relay history forget`.
type AccessRecord struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata. creationTimestamp is startTime, in whole seconds.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// server names the RelayServer, in the same namespace.
	Server string `json:"server"`
	// user names the RelayUser whose attempt it was. It is empty when no user has that login name.
	// +optional
	User string `json:"user,omitempty"`
	// userName is the login name as typed, where the server's policy keeps it.
	// +optional
	UserName string `json:"userName,omitempty"`
	// program is what connected: viewer or client.
	// +optional
	Program string `json:"program,omitempty"`
	// viewer is which viewer connected: pc, mobile or unbound.
	// +optional
	Viewer string `json:"viewer,omitempty"`
	// slot is the place of the device: pc or mobile.
	// +optional
	Slot string `json:"slot,omitempty"`

	// result is Success for an attempt that was admitted, or Failure.
	Result Result `json:"result"`
	// reason is why the attempt was denied, in a word such as DeviceMismatch. It is empty for a success.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message is the reason in a sentence.
	// +optional
	Message string `json:"message,omitempty"`
	// enrolled says that the attempt registered its device.
	// +optional
	Enrolled bool `json:"enrolled,omitempty"`

	// startTime is when the attempt began.
	StartTime metav1.MicroTime `json:"startTime"`
	// endTime is when the connection ended. It is missing while the connection lasts, and startTime for a failure.
	// +optional
	EndTime *metav1.MicroTime `json:"endTime,omitempty"`
	// duration is for how long the connection has lasted; while it lasts, until its last sign of life. A failure
	// has none.
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`
	// state is Open while the connection lasts, then Ended or Lost. A failure has none.
	// +optional
	State State `json:"state,omitempty"`
	// end is how the connection came to its end: Logout, Stopped, Refused, Replaced, Expired or Lost.
	// +optional
	End End `json:"end,omitempty"`
	// lastSeenTime is the connection's last sign of life.
	// +optional
	LastSeenTime *metav1.MicroTime `json:"lastSeenTime,omitempty"`
	// expireTime is until when the connection can last.
	// +optional
	ExpireTime *metav1.MicroTime `json:"expireTime,omitempty"`
	// partial says that the login itself was not told, only what came later: what is missing here is not known.
	// +optional
	Partial bool `json:"partial,omitempty"`

	// sourceAddress is the person's IP address.
	// +optional
	SourceAddress string `json:"sourceAddress,omitempty"`
	// macAddress is the MAC address that the device reports. It can be forged.
	// +optional
	MACAddress string `json:"macAddress,omitempty"`
	// deviceDigest is the keyed digest of the device's fingerprint, as in the RelayUser's status.
	// +optional
	DeviceDigest string `json:"deviceDigest,omitempty"`
	// destination is the client that a viewer wanted to reach.
	// +optional
	Destination string `json:"destination,omitempty"`
	// sourceViewer is the viewer that reached a client.
	// +optional
	SourceViewer string `json:"sourceViewer,omitempty"`

	// listener is what answered the attempt, such as login or radius.
	// +optional
	Listener string `json:"listener,omitempty"`
	// sidecar names the Pod that answered the attempt.
	// +optional
	Sidecar string `json:"sidecar,omitempty"`
	// correlationID is the attempt's id in the sidecar's log.
	// +optional
	CorrelationID string `json:"correlationID,omitempty"`
	// receivedBytes is how many bytes came from the person, as the gateway tells.
	// +optional
	ReceivedBytes int64 `json:"receivedBytes,omitempty"`
	// sentBytes is how many bytes went to the person, as the gateway tells.
	// +optional
	SentBytes int64 `json:"sentBytes,omitempty"`
}

// +kubebuilder:object:root=true

// AccessRecordList is a page of AccessRecords, newest first.
type AccessRecordList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the list's metadata. continue asks for the next page.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the records.
	Items []AccessRecord `json:"items"`
}

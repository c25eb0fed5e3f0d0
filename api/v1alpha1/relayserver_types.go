package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Enrollment says who may register a device in a free slot.
// +kubebuilder:validation:Enum=FirstLogin;ReservedOnly
type Enrollment string

const (
	// EnrollmentFirstLogin binds a free slot to the first device that logs in with the right password.
	EnrollmentFirstLogin Enrollment = "FirstLogin"
	// EnrollmentReservedOnly binds only devices that a DeviceReset named with nextDevice.
	EnrollmentReservedOnly Enrollment = "ReservedOnly"
)

// RelayServerSpec is the policy of one relay.
type RelayServerSpec struct {
	// host is the DNS name at which people reach the relay, such as asp1.example.com.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="must be a DNS name in lower case, such as asp1.example.com"
	Host string `json:"host"`

	// enrollment says who may register a device in a free slot. FirstLogin: the first device that logs in
	// with the right password. ReservedOnly: only a device that a DeviceReset named with nextDevice.
	// +kubebuilder:default=FirstLogin
	// +optional
	Enrollment Enrollment `json:"enrollment,omitempty"`

	// minimumDeviceKind refuses devices that identify themselves by something weaker: Opaque permits all,
	// Certificate also Proof, Proof itself only. A RelayUser may ask for more.
	// +kubebuilder:default=Opaque
	// +optional
	MinimumDeviceKind FingerprintKind `json:"minimumDeviceKind,omitempty"`

	// denial shapes the one answer that every refused login gets.
	// +kubebuilder:default={}
	// +optional
	Denial Denial `json:"denial,omitempty,omitzero"`

	// failureHistoryLimit is how many distinct recent failures a RelayUser's status keeps.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	// +optional
	FailureHistoryLimit int32 `json:"failureHistoryLimit,omitempty"`

	// throttle limits password guessing. A device that is already bound, with the right password, is
	// never held back by what others have tried.
	// +kubebuilder:default={}
	// +optional
	Throttle Throttle `json:"throttle,omitempty,omitzero"`

	// session shapes what a successful login is good for.
	// +kubebuilder:default={}
	// +optional
	Session SessionPolicy `json:"session,omitempty,omitzero"`

	// history shapes what is kept of connection attempts by a history server, where the sidecars send it there.
	// +kubebuilder:default={}
	// +optional
	History HistoryPolicy `json:"history,omitempty,omitzero"`

	// maxStaleness is for how long a sidecar that has lost the API server keeps admitting devices that
	// are already bound; after it, nobody is admitted. It is also the longest that a DeviceReset waits
	// for a sidecar that has gone silent. Between 5s and 1h.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,9}ms|[0-9]{1,6}([.][0-9]{1,6})?[smh])+$') && duration(self) >= duration('5s') && duration(self) <= duration('1h')",message="must be a duration between 5s and 1h, such as 5m"
	// +optional
	MaxStaleness metav1.Duration `json:"maxStaleness,omitempty,omitzero"`

	// trustedProxies are the networks of the proxies and gateways that are believed: what they write into
	// X-Forwarded-For, the source that an ext_authz CheckRequest tells, and the client certificates that they
	// forward. Empty: nothing is believed, and the source of a login is the address of the connection.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	TrustedProxies []CIDR `json:"trustedProxies,omitempty"`

	// radius lets gateways ask over RADIUS. Without it none may.
	// +optional
	RADIUS *RADIUS `json:"radius,omitempty"`
}

// Denial shapes the one answer that every refused login gets, whatever the cause.
type Denial struct {
	// code is the inquiry code that the refused person sees.
	// +kubebuilder:default=293
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=999999
	// +optional
	Code int32 `json:"code,omitempty"`

	// messages replace the built-in texts (English and Japanese) by language.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a.language.lowerAscii() == b.language.lowerAscii()))",message="has one language twice: upper and lower case do not differ"
	// +listType=map
	// +listMapKey=language
	// +optional
	Messages []DenialMessage `json:"messages,omitempty"`

	// responseTime is how long after its arrival a login's denial is sent, whatever its cause. It should
	// exceed the time that a password check takes. Between 100ms and 10s.
	// +kubebuilder:default="1s"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,9}ms|[0-9]{1,6}([.][0-9]{1,6})?[smh])+$') && duration(self) >= duration('100ms') && duration(self) <= duration('10s')",message="must be a duration between 100ms and 10s, such as 1s"
	// +optional
	ResponseTime metav1.Duration `json:"responseTime,omitempty,omitzero"`
}

// DenialMessage is the text of a denial in one language.
type DenialMessage struct {
	// language is a BCP 47 tag, such as en or ja.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$')",message="must be a language tag such as en, ja or pt-BR"
	Language string `json:"language"`
	// text is shown to the refused person, above the code. It is one line.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\p{Cc}]')",message="must be one line, without control characters"
	Text string `json:"text"`
}

// Throttle limits password guessing.
type Throttle struct {
	// perUser limits failed attempts at one login name, from anywhere.
	// +kubebuilder:default={failures: 10, interval: "1m"}
	// +optional
	PerUser ThrottleLimit `json:"perUser,omitempty,omitzero"`
	// perSource limits failed attempts from one source address (an IPv6 source is its /64), at any name.
	// +kubebuilder:default={failures: 100, interval: "1m"}
	// +optional
	PerSource ThrottleLimit `json:"perSource,omitempty,omitzero"`
}

// ThrottleLimit allows a burst of failures, which refills evenly over the interval.
type ThrottleLimit struct {
	// failures is how many wrong passwords or unknown names are checked before further ones are refused
	// unchecked.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Failures int32 `json:"failures"`
	// interval is the time in which the whole allowance comes back. Between 1s and 24h.
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,9}ms|[0-9]{1,6}([.][0-9]{1,6})?[smh])+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration between 1s and 24h, such as 1m"
	Interval metav1.Duration `json:"interval"`
}

// SessionPolicy shapes what a successful login is good for.
type SessionPolicy struct {
	// ttl is how long the relay may act on a successful login before it must ask again. A login's reply
	// states the end of that time. Between 1m and 168h.
	// +kubebuilder:default="8h"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,9}ms|[0-9]{1,6}([.][0-9]{1,6})?[smh])+$') && duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="must be a duration between 1m and 168h, such as 8h"
	// +optional
	TTL metav1.Duration `json:"ttl,omitempty,omitzero"`

	// maxPerUser is how many sessions of one user a sidecar keeps at a time. A further login ends the oldest.
	// +kubebuilder:default=16
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxPerUser int32 `json:"maxPerUser,omitempty"`

	// keyRotation is how often the key that signs sessions is replaced. Sessions signed with the one before
	// stay valid until their time is over. Between 24h and 8760h.
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,9}ms|[0-9]{1,6}([.][0-9]{1,6})?[smh])+$') && duration(self) >= duration('24h') && duration(self) <= duration('8760h')",message="must be a duration between 24h and 8760h, such as 720h"
	// +optional
	KeyRotation metav1.Duration `json:"keyRotation,omitempty,omitzero"`
}

// ConditionSidecarsLive says whether at least one sidecar of the server answers logins.
const ConditionSidecarsLive = "SidecarsLive"

// ConditionRADIUSReady says whether the sidecars have the shared secret of every RADIUS client. A server without
// spec.radius does not have the condition.
const ConditionRADIUSReady = "RADIUSReady"

// ConditionHistoryComplete says whether what the sidecars record of connection attempts reaches the history
// server. A server none of whose sidecars has a history server does not have the condition.
const ConditionHistoryComplete = "HistoryComplete"

// Reasons of a RelayServer's conditions.
const (
	// ReasonServerReady: the server's keys, credentials and sidecar permissions are in place.
	ReasonServerReady = "ServerReady"
	// ReasonKeySecretMissing: the Secret with the fingerprint key is gone. Bound devices cannot be
	// recognised without it, so it is not made anew: restore it, or re-create the RelayServer.
	ReasonKeySecretMissing = "KeySecretMissing"
	// ReasonKeySecretInvalid: the Secret with the fingerprint key cannot be read as such.
	ReasonKeySecretInvalid = "KeySecretInvalid"
	// ReasonNameTaken: an object that the server needs exists and belongs to somebody else.
	ReasonNameTaken = "NameTaken"
	// ReasonSidecarsLive: at least one sidecar holds a current Lease.
	ReasonSidecarsLive = "SidecarsLive"
	// ReasonRADIUSSecretsReady: the shared secret of every RADIUS client is at hand.
	ReasonRADIUSSecretsReady = "RADIUSSecretsReady"
	// ReasonRADIUSSecretNotFound: a Secret that a RADIUS client names does not exist.
	ReasonRADIUSSecretNotFound = "RADIUSSecretNotFound"
	// ReasonRADIUSSecretNotLabelled: a Secret that a RADIUS client names does not carry the label that permits
	// its use.
	ReasonRADIUSSecretNotLabelled = "RADIUSSecretNotLabelled"
	// ReasonRADIUSSecretRefused: a Secret that a RADIUS client names does not hold a usable shared secret.
	ReasonRADIUSSecretRefused = "RADIUSSecretRefused"
	// ReasonHistoryComplete: what is recorded reaches the history server.
	ReasonHistoryComplete = "HistoryComplete"
	// ReasonRecordsLost: records of connection attempts were lost in the last 24 hours.
	ReasonRecordsLost = "RecordsLost"
	// ReasonHistoryServerAway: records have been waiting for the history server for minutes. None is lost yet.
	ReasonHistoryServerAway = "HistoryServerAway"
	// ReasonNoLiveSidecar: no sidecar holds a current Lease, so nobody can log in.
	ReasonNoLiveSidecar = "NoLiveSidecar"
)

// RelayServerStatus is what the manager has observed of a relay.
type RelayServerStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready, SidecarsLive, RADIUSReady where there is spec.radius, and HistoryComplete where a sidecar
	// sends records to a history server.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// history is what the sidecars tell of the records that they send to a history server. It is absent until one
	// of them does so.
	// +optional
	History *HistoryStatus `json:"history,omitempty"`
	// fingerprintKeyID is the id of the key under which new device digests are made.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	FingerprintKeyID string `json:"fingerprintKeyID,omitempty"`
	// liveSidecars is how many sidecars hold a current Lease.
	// +kubebuilder:default=0
	// +optional
	LiveSidecars int32 `json:"liveSidecars"`
	// users is how many RelayUsers name this server.
	// +kubebuilder:default=0
	// +optional
	Users int32 `json:"users"`
	// boundDevices is how many slots of those users hold a device.
	// +kubebuilder:default=0
	// +optional
	BoundDevices int32 `json:"boundDevices"`
}

// RelayServer is one remote-access relay and its login policy.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rsv,categories=relay
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.spec.host`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Sidecars",type=integer,JSONPath=`.status.liveSidecars`
// +kubebuilder:printcolumn:name="Users",type=integer,JSONPath=`.status.users`
// +kubebuilder:printcolumn:name="Bound",type=integer,JSONPath=`.status.boundDevices`
// +kubebuilder:printcolumn:name="Enrollment",type=string,JSONPath=`.spec.enrollment`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="RADIUS",type=string,JSONPath=`.status.conditions[?(@.type=="RADIUSReady")].status`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && !self.metadata.name.contains('.')",message="name must be at most 40 characters without dots: the names of the server's Secrets and Leases begin with it",fieldPath=".metadata"
type RelayServer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the policy of the relay.
	Spec RelayServerSpec `json:"spec"`
	// status is what the manager has observed.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status RelayServerStatus `json:"status,omitempty,omitzero"`
}

// RelayServerList is a list of RelayServers.
//
// +kubebuilder:object:root=true
type RelayServerList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RelayServer `json:"items"`
}

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MaxFailureCount is where the counts of failures stop.
const MaxFailureCount = 1_000_000_000_000_000

// LoginFailure is one kind of recent failure; equal ones are counted together.
type LoginFailure struct {
	// reason is the true cause, which the refused person is not told.
	// +kubebuilder:validation:MaxLength=64
	Reason Reason `json:"reason"`
	// firstTime is when the first of them happened.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	FirstTime metav1.Time `json:"firstTime"`
	// lastTime is when the last of them happened.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	LastTime metav1.Time `json:"lastTime"`
	// count is how many there were.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000000
	Count int64 `json:"count"`
	// slot is the slot that was asked for.
	// +optional
	Slot Slot `json:"slot,omitempty"`
	// program is what connected.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Program Program `json:"program,omitempty"`
	// sourceAddress is from where.
	// +kubebuilder:validation:MaxLength=45
	// +optional
	SourceAddress string `json:"sourceAddress,omitempty"`
	// macAddress is what the device said its hardware address is.
	// +kubebuilder:validation:MaxLength=17
	// +optional
	MACAddress string `json:"macAddress,omitempty"`
	// digest is the keyed digest of the device's fingerprint. A DeviceReset takes it as nextDevice.
	// +kubebuilder:validation:MaxLength=60
	// +optional
	Digest DeviceDigest `json:"digest,omitempty"`
	// sidecar is the sidecar that refused it.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Sidecar string `json:"sidecar,omitempty"`
	// correlationID is what the refused person was shown at the last of them. Ask for it.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	CorrelationID string `json:"correlationID,omitempty"`
}

// LastFailure is the newest failure, as scalars that columns and field selectors can use.
type LastFailure struct {
	// reason is the true cause.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Reason Reason `json:"reason,omitempty"`
	// time is when it happened.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// Conditions of a RelayUser beside Ready.
const (
	// ConditionResetRecommended says that the last failure is one that a DeviceReset mends
	// (DeviceMismatch, DeviceAuthUnsupported) and that no login has succeeded since. Its message is the
	// command that mends it. It is False, saying so, while the server is not ready.
	ConditionResetRecommended = "ResetRecommended"
	// ConditionSlotNotPermitted says that a slot holds a device which the spec does not permit any more.
	ConditionSlotNotPermitted = "SlotNotPermitted"
	// ConditionBindingsRecorded says whether what slots say of devices is kept outside status too, from where it
	// is restored when status is lost.
	ConditionBindingsRecorded = "BindingsRecorded"
)

// Reasons of a RelayUser's conditions.
const (
	// ReasonUserReady: the credential is usable, the name is unique, the server is there.
	ReasonUserReady = "UserReady"
	// ReasonServerNotFound: no RelayServer of that name is in the namespace.
	ReasonServerNotFound = "ServerNotFound"
	// ReasonServerNotReady: the RelayServer is there but cannot serve yet.
	ReasonServerNotReady = "ServerNotReady"
	// ReasonUserNameConflict: an older RelayUser of the same server has the same login name.
	ReasonUserNameConflict = "UserNameConflict"
	// ReasonUserNameInvalid: the login name is not one that RFC 8265 permits.
	ReasonUserNameInvalid = "UserNameInvalid"
	// ReasonPasswordSecretNotFound: the Secret that the user names is not there.
	ReasonPasswordSecretNotFound = "PasswordSecretNotFound"
	// ReasonPasswordSecretNotLabelled: the Secret is there without the label that permits its use.
	ReasonPasswordSecretNotLabelled = "PasswordSecretNotLabelled"
	// ReasonPasswordSecretTaken: the Secret for the temporary password exists and belongs to another.
	ReasonPasswordSecretTaken = "PasswordSecretTaken"
	// ReasonPasswordRefused: the Secret holds no password or hash that can be used; the message says why.
	ReasonPasswordRefused = "PasswordRefused"
	// ReasonResetHelps: the last failure is one that a reset mends.
	ReasonResetHelps = "ResetHelps"
	// ReasonNoResetNeeded: the last failure, if any, is not one that a reset mends, or is mended.
	ReasonNoResetNeeded = "NoResetNeeded"
	// ReasonBoundSlotNotPermitted: a bound slot is not permitted by spec.programs.
	ReasonBoundSlotNotPermitted = "BoundSlotNotPermitted"
	// ReasonSlotsPermitted: every bound slot is permitted by spec.programs.
	ReasonSlotsPermitted = "SlotsPermitted"
	// ReasonBindingsNotRestored: there is a record of devices that cannot be read, and status has none.
	ReasonBindingsNotRestored = "BindingsNotRestored"
	// ReasonRecorded: the record is there, or there is nothing to record.
	ReasonRecorded = "Recorded"
	// ReasonForgottenOnDelete: the record goes with the object, because an annotation says so.
	ReasonForgottenOnDelete = "ForgottenOnDelete"
	// ReasonRecordBehind: the record cannot be written; the message says why.
	ReasonRecordBehind = "RecordBehind"
	// ReasonNotServed: another RelayUser is served under the login name, or it is not valid.
	ReasonNotServed = "NotServed"
)

// EndedSessions are sessions that are refused although their time is not over.
type EndedSessions struct {
	// ids are single sessions.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Pattern=`^[0-9A-HJKMNP-TV-Z]{26}$`
	// +kubebuilder:validation:items:MaxLength=26
	// +listType=set
	// +optional
	IDs []string `json:"ids,omitempty"`
	// upTo ends all sessions whose ids are not greater. Ids begin with the time at which the session did.
	// +kubebuilder:validation:Pattern=`^[0-9A-HJKMNP-TV-Z]{26}$`
	// +kubebuilder:validation:MaxLength=26
	// +optional
	UpTo string `json:"upTo,omitempty"`
}

// MaxEndedSessions is how many sessions of a user are ended one by one. When more are, the oldest of them
// take all older ones with them.
const MaxEndedSessions = 32

// RelayUserStatus is what has happened to a user.
type RelayUserStatus struct {
	// observedGeneration is the generation of the spec that the conditions describe.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready, ResetRecommended, SlotNotPermitted, BindingsRecorded.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// slots are the user's devices.
	// +kubebuilder:validation:MaxItems=2
	// +listType=map
	// +listMapKey=slot
	// +optional
	Slots []SlotStatus `json:"slots,omitempty"`
	// recentFailures are the refused logins, newest first, with equal ones counted together.
	// +kubebuilder:validation:MaxItems=50
	// +listType=atomic
	// +optional
	RecentFailures []LoginFailure `json:"recentFailures,omitempty"`
	// lastFailure is the newest failure.
	// +optional
	LastFailure LastFailure `json:"lastFailure,omitempty,omitzero"`
	// failureCount is how many logins were refused in all.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000000
	// +optional
	FailureCount int64 `json:"failureCount,omitempty"`
	// endedSessions are the sessions that were ended before their time, by logout or by a gateway whose connection
	// has ended.
	// +optional
	EndedSessions EndedSessions `json:"endedSessions,omitempty,omitzero"`
	// lastLoginTime is about when a login last succeeded.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +optional
	LastLoginTime *metav1.Time `json:"lastLoginTime,omitempty"`
}

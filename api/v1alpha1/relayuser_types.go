package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// UserType tells people who use the relay from those who only administer it.
// +kubebuilder:validation:Enum=General;Administrator
type UserType string

const (
	// UserTypeGeneral may log in to the relay.
	UserTypeGeneral UserType = "General"
	// UserTypeAdministrator may not use remote access.
	UserTypeAdministrator UserType = "Administrator"
)

// RelayUserSpec is one person's account on one relay.
//
// +kubebuilder:validation:XValidation:rule="!has(self.validFrom) || !has(self.validUntil) || self.validFrom < self.validUntil",message="must be after validFrom",fieldPath=".validUntil"
type RelayUserSpec struct {
	// serverRef names the RelayServer, in the same namespace, that this user logs in to.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed: devices are bound to a user of one server; create a new RelayUser instead"
	ServerRef LocalReference `json:"serverRef"`

	// userName is the name the person types to log in. It defaults to metadata.name and cannot be
	// changed. Letters are compared without regard to case or width (RFC 8265, UsernameCaseMapped). It is
	// unique on a server: of two users with one name, the older is served and the other is not Ready.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\p{Z}\\\\p{C}]')",message="must not contain spaces, control characters or invisible characters"
	// +optional
	UserName string `json:"userName,omitempty"`

	// type is General for a person who uses the relay. An Administrator account cannot be used for
	// remote access.
	// +kubebuilder:default=General
	// +optional
	Type UserType `json:"type,omitempty"`

	// programs says with which programs the user may connect. The PC viewer is always permitted.
	// +optional
	Programs Programs `json:"programs,omitempty,omitzero"`

	// password names the Secret that holds the user's password. Without it a temporary password is
	// generated into the Secret <metadata.name>-temporary-password.
	// +optional
	Password *PasswordSource `json:"password,omitempty"`

	// network limits from where the user may connect.
	// +optional
	Network Network `json:"network,omitempty,omitzero"`

	// passwordSaving says what the viewer may store. It is told to the viewer on a successful login only.
	// +optional
	PasswordSaving PasswordSaving `json:"passwordSaving,omitempty,omitzero"`

	// suspended refuses every login while it is true. Bindings are kept.
	// +optional
	Suspended bool `json:"suspended,omitempty"`

	// validFrom is the time before which every login is refused.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +optional
	ValidFrom *metav1.Time `json:"validFrom,omitempty"`

	// validUntil is the time from which every login is refused.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`

	// minimumDeviceKind refuses devices that identify themselves by something weaker: Opaque permits all,
	// Certificate also Proof, Proof itself only. The stricter of this and the RelayServer's holds.
	// +optional
	MinimumDeviceKind FingerprintKind `json:"minimumDeviceKind,omitempty"`

	// endSessionsBefore ends every session of this user that began before that time, at once and on every
	// sidecar. A time in the future ends new sessions as well until then.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +optional
	EndSessionsBefore *metav1.Time `json:"endSessionsBefore,omitempty"`

	// memo is a note for administrators. It is never sent to the user.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Memo string `json:"memo,omitempty"`
}

// Programs says with which programs a user may connect.
type Programs struct {
	// viewer permits kinds of viewer beside the PC viewer, which is always permitted.
	// +optional
	Viewer ViewerPrograms `json:"viewer,omitempty,omitzero"`
	// client permits the program of the machine at the far end to connect as this user.
	// +optional
	Client bool `json:"client,omitempty"`
}

// ViewerPrograms permits kinds of viewer beside the PC viewer.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.combined) && self.combined) || (has(self.mobile) && self.mobile)",message="needs mobile: true; it permits a phone beside the PC",fieldPath=".combined"
type ViewerPrograms struct {
	// unbound permits viewers without device authentication, such as one on a USB stick. Such a login is
	// held by the password alone.
	// +optional
	Unbound bool `json:"unbound,omitempty"`
	// mobile permits the viewer of phones and tablets.
	// +optional
	Mobile bool `json:"mobile,omitempty"`
	// combined permits a PC and a phone at the same time. Without it, and with mobile, the user has one
	// device in all: whichever is registered first.
	// +optional
	Combined bool `json:"combined,omitempty"`
}

// PasswordSource names where a password comes from.
type PasswordSource struct {
	// secretRef names a Secret in the same namespace, labelled tegata.dev/secret-type=password, with the
	// key password (the password itself, 8 to 256 bytes) or passwordHash (a hash in PHC or crypt format:
	// argon2id, bcrypt or sha512-crypt). A change of the Secret takes effect at once.
	SecretRef LocalReference `json:"secretRef"`
}

// Network limits from where a user may connect, for each program.
type Network struct {
	// viewer limits the program on the device at hand.
	// +optional
	Viewer NetworkLimits `json:"viewer,omitempty,omitzero"`
	// client limits the program on the machine at the far end.
	// +optional
	Client NetworkLimits `json:"client,omitempty,omitzero"`
}

// NetworkLimits lists the permitted networks and hardware addresses. An empty list permits all.
type NetworkLimits struct {
	// allowedCIDRs are the networks from which connections are permitted. Empty permits all.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	AllowedCIDRs []CIDR `json:"allowedCIDRs,omitempty"`
	// allowedMACs are the hardware addresses that are permitted. Empty permits all. A MAC address is
	// what the device says it is and can be copied: it is no proof of the device.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	AllowedMACs []MACAddress `json:"allowedMACs,omitempty"`
}

// PasswordSaving says which passwords the viewer may store on the device.
type PasswordSaving struct {
	// login permits storing the relay's login password.
	// +optional
	Login bool `json:"login,omitempty"`
	// windows permits storing the Windows logon password of the far end.
	// +optional
	Windows bool `json:"windows,omitempty"`
}

// SlotState is what a slot holds.
// +kubebuilder:validation:Enum=Unregistered;Reserved;Registered
type SlotState string

const (
	// SlotUnregistered is free.
	SlotUnregistered SlotState = "Unregistered"
	// SlotReserved is free for one named device only.
	SlotReserved SlotState = "Reserved"
	// SlotRegistered holds a device.
	SlotRegistered SlotState = "Registered"
)

// FingerprintKind tells how a device identifies itself. Opaque is a string that the device reports, which can
// be copied; Certificate a client certificate; Proof a key in the device that signs a fresh challenge.
// +kubebuilder:validation:Enum=Opaque;Certificate;Proof
type FingerprintKind string

const (
	// FingerprintOpaque is a string that the device reports. Whoever learns it can copy it.
	FingerprintOpaque FingerprintKind = "Opaque"
	// FingerprintCertificate is the public key of a client certificate.
	FingerprintCertificate FingerprintKind = "Certificate"
	// FingerprintProof is a public key of which the device showed that it holds the private one.
	FingerprintProof FingerprintKind = "Proof"
)

// Binding is a device that is registered in a slot.
type Binding struct {
	// id identifies this registration. A device that is reset and registered again gets another.
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id"`
	// digest is the keyed digest of the device's fingerprint.
	Digest DeviceDigest `json:"digest"`
	// kind tells how the device identified itself.
	Kind FingerprintKind `json:"kind"`
	// registeredTime is when the device was registered.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	RegisteredTime metav1.Time `json:"registeredTime"`
	// registeredFrom is the source address from which the device was registered.
	// +kubebuilder:validation:MaxLength=45
	// +optional
	RegisteredFrom string `json:"registeredFrom,omitempty"`
	// lastSeenTime is about when the device last logged in.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +optional
	LastSeenTime *metav1.Time `json:"lastSeenTime,omitempty"`
}

// RevokedDevice is a device that a reset removed and that may not register again.
type RevokedDevice struct {
	// digest is the keyed digest of the device's fingerprint.
	Digest DeviceDigest `json:"digest"`
	// time is when the device was removed.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	Time metav1.Time `json:"time"`
	// requestID is the DeviceReset that removed it.
	// +kubebuilder:validation:MaxLength=253
	RequestID string `json:"requestID"`
}

// HandledReset records that a DeviceReset has been carried out on a slot, so that it happens once.
type HandledReset struct {
	// requestID is the DeviceReset's requestID.
	// +kubebuilder:validation:MaxLength=253
	RequestID string `json:"requestID"`
	// uid is the UID of the DeviceReset object that carried it out.
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
	// time is when it was carried out.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	Time metav1.Time `json:"time"`
	// outcome is what was done.
	Outcome SlotOutcome `json:"outcome"`
	// bindingID is the binding that was cleared; empty when there was none.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	BindingID string `json:"bindingID,omitempty"`
}

// Bounds of the lists in a slot's status. The oldest entry makes room for a new one.
const (
	// MaxRevokedDevices is how many removed devices a slot remembers.
	MaxRevokedDevices = 32
	// MaxHandledResets is how many resets a slot remembers.
	MaxHandledResets = 64
)

// SlotStatus is what a slot holds.
type SlotStatus struct {
	// slot names the slot.
	Slot Slot `json:"slot"`
	// state is Unregistered (free), Reserved (free for one device) or Registered.
	State SlotState `json:"state"`
	// binding is the registered device.
	// +optional
	Binding *Binding `json:"binding,omitempty"`
	// reservedFor is the digest of the only device that may register in a Reserved slot.
	// +optional
	ReservedFor DeviceDigest `json:"reservedFor,omitempty"`
	// revoked are devices that resets removed; they are refused. The newest 32 are kept.
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Revoked []RevokedDevice `json:"revoked,omitempty"`
	// handledResets are the resets that were carried out on this slot. The newest 64 are kept.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	HandledResets []HandledReset `json:"handledResets,omitempty"`
	// lastResetTime is when the slot was last reset.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +optional
	LastResetTime *metav1.Time `json:"lastResetTime,omitempty"`
}

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
	// conditions: Ready, ResetRecommended, SlotNotPermitted.
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

// RelayUser is one person's account on a relay and the devices bound to it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ru,categories=relay
// +kubebuilder:selectablefield:JSONPath=`.spec.serverRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.userName`
// +kubebuilder:selectablefield:JSONPath=`.status.lastFailure.reason`
// +kubebuilder:printcolumn:name="Server",type=string,JSONPath=`.spec.serverRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="PC",type=string,JSONPath=`.status.slots[?(@.slot=="pc")].state`
// +kubebuilder:printcolumn:name="Mobile",type=string,JSONPath=`.status.slots[?(@.slot=="mobile")].state`
// +kubebuilder:printcolumn:name="Last-Failure",type=string,JSONPath=`.status.lastFailure.reason`
// +kubebuilder:printcolumn:name="Failed",type=date,JSONPath=`.status.lastFailure.time`
// +kubebuilder:printcolumn:name="Last-Login",type=date,JSONPath=`.status.lastLoginTime`
// +kubebuilder:printcolumn:name="Source",type=string,JSONPath=`.status.recentFailures[0].sourceAddress`,priority=1
// +kubebuilder:printcolumn:name="Count",type=integer,JSONPath=`.status.failureCount`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="(has(self.spec.userName) ? self.spec.userName : self.metadata.name) == (has(oldSelf.spec.userName) ? oldSelf.spec.userName : oldSelf.metadata.name)",message="cannot be changed once the user exists: create a new RelayUser instead",fieldPath=".spec.userName"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 128",message="name must be at most 128 characters",fieldPath=".metadata"
type RelayUser struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the person's account.
	Spec RelayUserSpec `json:"spec"`
	// status is what has happened to the user.
	// +optional
	Status RelayUserStatus `json:"status,omitempty,omitzero"`
}

// RelayUserList is a list of RelayUsers.
//
// +kubebuilder:object:root=true
type RelayUserList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RelayUser `json:"items"`
}

// LoginName is the name the person types: spec.userName, or metadata.name.
func (u *RelayUser) LoginName() string {
	if u.Spec.UserName != "" {
		return u.Spec.UserName
	}
	return u.Name
}

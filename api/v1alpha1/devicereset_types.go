package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PreviousDevice says what becomes of the device that a reset removes.
// +kubebuilder:validation:Enum=Deny;Allow
type PreviousDevice string

const (
	// PreviousDeviceDeny refuses the removed device from then on.
	PreviousDeviceDeny PreviousDevice = "Deny"
	// PreviousDeviceAllow lets the removed device register again like any other.
	PreviousDeviceAllow PreviousDevice = "Allow"
)

// DeviceResetSpec asks once for slots to be freed. It cannot be changed after creation.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: create another DeviceReset with another name"
// +kubebuilder:validation:XValidation:rule="has(self.userRef) != has(self.selector)",message="name exactly one of userRef (one user) and selector (many)"
// +kubebuilder:validation:XValidation:rule="!has(self.nextDevice) || (has(self.userRef) && size(self.slots) == 1)",message="needs userRef and exactly one slot: it names one person's next device",fieldPath=".nextDevice"
// +kubebuilder:validation:XValidation:rule="!has(self.maxUsers) || has(self.selector)",message="limits a selector: leave it out with userRef",fieldPath=".maxUsers"
type DeviceResetSpec struct {
	// userRef names the RelayUser, in the same namespace, whose slots are freed.
	// +optional
	UserRef *LocalReference `json:"userRef,omitempty"`

	// selector picks RelayUsers of the namespace by their labels.
	// +optional
	Selector *UserSelector `json:"selector,omitempty"`

	// maxUsers is the most users that selector may pick; if it picks more, the reset fails and frees
	// nothing. 100 when left out.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +optional
	MaxUsers *int32 `json:"maxUsers,omitempty"`

	// slots are the slots to free: pc, mobile or both.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +listType=set
	Slots []Slot `json:"slots"`

	// reason is a note on why, such as a ticket's number.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Reason string `json:"reason,omitempty"`

	// requestID makes the reset happen once: a slot that has handled this id is left alone. It defaults
	// to metadata.name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\p{C}]')",message="must not contain control characters or invisible characters"
	// +optional
	RequestID string `json:"requestID,omitempty"`

	// nextDevice is the digest of the only device that may register in the freed slot, as a recent
	// failure shows it. Without it, the next device with the right password registers.
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]{1,16}:[A-Za-z0-9_-]{43}$')",message="must be a device digest as shown in a RelayUser's status.recentFailures[].digest"
	// +optional
	NextDevice DeviceDigest `json:"nextDevice,omitempty"`

	// previousDevice says whether the removed device may register again. Deny: it may not.
	// +kubebuilder:default=Deny
	// +optional
	PreviousDevice PreviousDevice `json:"previousDevice,omitempty"`

	// requestedBy is who asked. Leave it out: admission policies fill it in from the request (Kubernetes 1.36
	// and later) and refuse another's name.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	RequestedBy string `json:"requestedBy,omitempty"`

	// activeDeadlineSeconds is how long to wait for a user that does not exist yet before the reset
	// fails, in seconds.
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	// +optional
	ActiveDeadlineSeconds int64 `json:"activeDeadlineSeconds,omitempty"`

	// ttlSecondsAfterFinished deletes the DeviceReset that long after it finished, in seconds. It is kept
	// when left out.
	// +kubebuilder:validation:Minimum=0
	// +optional
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",message="must be a label's value: letters, digits, '-', '_' and '.'"
type LabelValue string

// UserSelector picks RelayUsers by their labels.
type UserSelector struct {
	// matchLabels are labels that a user must have, all of them.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="must have labels' names as keys, such as team or example.com/team"
	MatchLabels map[string]LabelValue `json:"matchLabels"`
}

// Conditions of a DeviceReset.
const (
	// ConditionComplete is True when the slots are free and every live sidecar knows it. Its reason says
	// what was done, or, while it is False, what is being done.
	ConditionComplete = "Complete"
	// ConditionFailed is True when the reset was given up. Its reason says why.
	ConditionFailed = "Failed"
	// ConditionReconciling is True while the reset is under way (kstatus).
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when the reset was given up (kstatus).
	ConditionStalled = "Stalled"
)

// Reasons of a DeviceReset's conditions.
const (
	// ReasonWaitingForUser: the user does not exist yet.
	ReasonWaitingForUser = "WaitingForUser"
	// ReasonWaitingForBindings: the manager has not said yet which devices a user has.
	ReasonWaitingForBindings = "WaitingForBindings"
	// ReasonClearing: slots are being freed.
	ReasonClearing = "Clearing"
	// ReasonEnforcing: slots are free; a sidecar has not observed it yet.
	ReasonEnforcing = "Enforcing"
	// ReasonCleared: at least one device was removed.
	ReasonCleared = "Cleared"
	// ReasonReserved: no device was removed; a free slot was reserved for nextDevice.
	ReasonReserved = "Reserved"
	// ReasonUnreserved: no device was removed; at least one free slot was reserved, and is not any more.
	ReasonUnreserved = "Unreserved"
	// ReasonNothingToClear: no slot held a device or was reserved for one.
	ReasonNothingToClear = "NothingToClear"
	// ReasonAlreadyHandled: every slot had handled this requestID before; nothing was changed.
	ReasonAlreadyHandled = "AlreadyHandled"
	// ReasonUserNotFound: the user did not appear within activeDeadlineSeconds.
	ReasonUserNotFound = "UserNotFound"
	// ReasonNoUserMatched: the selector picked nobody within activeDeadlineSeconds.
	ReasonNoUserMatched = "NoUserMatched"
	// ReasonTooManyUsers: the selector picked more than maxUsers.
	ReasonTooManyUsers = "TooManyUsers"
	// ReasonTooManyServers: the selector picked users of more servers than one reset may touch.
	ReasonTooManyServers = "TooManyServers"
	// ReasonUnknownKey: nextDevice was made under a key that the user's server does not have.
	ReasonUnknownKey = "UnknownKey"
	// ReasonInvalidSelector: the selector is not a valid label selector.
	ReasonInvalidSelector = "InvalidSelector"
)

// SlotOutcome is what a reset did to one slot.
// +kubebuilder:validation:Enum=Cleared;Reserved;Unreserved;NotBound;AlreadyHandled;ChangedSince;UserGone
type SlotOutcome string

const (
	// SlotOutcomeCleared: a device was removed.
	SlotOutcomeCleared SlotOutcome = "Cleared"
	// SlotOutcomeReserved: no device was bound; the slot is now reserved for nextDevice.
	SlotOutcomeReserved SlotOutcome = "Reserved"
	// SlotOutcomeUnreserved: no device was bound; the slot was reserved for one, and is not any more.
	SlotOutcomeUnreserved SlotOutcome = "Unreserved"
	// SlotOutcomeNotBound: no device was bound.
	SlotOutcomeNotBound SlotOutcome = "NotBound"
	// SlotOutcomeAlreadyHandled: the slot had handled this requestID before.
	SlotOutcomeAlreadyHandled SlotOutcome = "AlreadyHandled"
	// SlotOutcomeChangedSince: another device registered after the reset looked; it was left alone.
	SlotOutcomeChangedSince SlotOutcome = "ChangedSince"
	// SlotOutcomeUserGone: the user was deleted meanwhile.
	SlotOutcomeUserGone SlotOutcome = "UserGone"
)

// NotedBinding is a binding that the reset saw before it cleared anything: only this is cleared.
type NotedBinding struct {
	// user is the RelayUser's name.
	// +kubebuilder:validation:MaxLength=253
	User string `json:"user"`
	// uid is the RelayUser's UID.
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
	// slot is the slot.
	Slot Slot `json:"slot"`
	// bindingID is the binding that the slot held; empty when it held none.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	BindingID string `json:"bindingID,omitempty"`
}

// SlotResult is what the reset did to one slot of one user.
type SlotResult struct {
	// user is the RelayUser's name.
	// +kubebuilder:validation:MaxLength=253
	User string `json:"user"`
	// slot is the slot.
	Slot Slot `json:"slot"`
	// outcome is what was done.
	Outcome SlotOutcome `json:"outcome"`
	// bindingID is the binding that was cleared.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	BindingID string `json:"bindingID,omitempty"`
}

// Enforcement says how far the sidecars of one server must have seen.
type Enforcement struct {
	// server is the RelayServer's name.
	// +kubebuilder:validation:MaxLength=253
	Server string `json:"server"`
	// resourceVersion is the newest clearing write; a sidecar that has observed it knows all of them.
	// +kubebuilder:validation:MaxLength=32
	ResourceVersion string `json:"resourceVersion"`
}

// Bounds of the lists in a DeviceReset's status.
const (
	// MaxNotedBindings is how many slots are noted, and then cleared, at a time.
	MaxNotedBindings = 200
	// MaxSlotResults is how many results are listed; counts cover all of them.
	MaxSlotResults = 100
	// MaxEnforcements is how many servers one reset may touch.
	MaxEnforcements = 64
	// DefaultMaxUsers is what spec.maxUsers means when it is left out.
	DefaultMaxUsers = 100
)

// DeviceResetStatus is how far a reset has come.
type DeviceResetStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Complete, Failed, Reconciling, Stalled.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// completionTime is when the reset finished, either way.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// users is how many users the reset concerns.
	// +optional
	Users int32 `json:"users,omitempty"`
	// processed is how many of them are done.
	// +optional
	Processed int32 `json:"processed,omitempty"`
	// cleared is how many devices were removed.
	// +kubebuilder:default=0
	// +optional
	Cleared int32 `json:"cleared"`
	// reserved is how many free slots were reserved for nextDevice.
	// +optional
	Reserved int32 `json:"reserved,omitempty"`
	// unreserved is how many free slots were reserved for a device, and are not any more.
	// +optional
	Unreserved int32 `json:"unreserved,omitempty"`
	// notBound is how many slots held no device.
	// +optional
	NotBound int32 `json:"notBound,omitempty"`
	// alreadyHandled is how many slots had handled this requestID before.
	// +optional
	AlreadyHandled int32 `json:"alreadyHandled,omitempty"`
	// changedSince is how many slots were left alone because another device registered meanwhile, or
	// because the user was deleted.
	// +optional
	ChangedSince int32 `json:"changedSince,omitempty"`
	// cursor is the name of the last user that is done; the next in order follows.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Cursor string `json:"cursor,omitempty"`
	// noted are the bindings that were seen and are being cleared now.
	// +kubebuilder:validation:MaxItems=200
	// +listType=atomic
	// +optional
	Noted []NotedBinding `json:"noted,omitempty"`
	// results are what was done to each slot. The first 100 are listed; the counts cover all.
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	// +optional
	Results []SlotResult `json:"results,omitempty"`
	// enforcement is what the sidecars of each server must have observed before the reset is Complete.
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=server
	// +optional
	Enforcement []Enforcement `json:"enforcement,omitempty"`
}

// DeviceReset frees slots of one or more users, once, so that other devices can be registered.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=dr,categories=relay
// +kubebuilder:selectablefield:JSONPath=`.spec.userRef.name`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.userRef.name`
// +kubebuilder:printcolumn:name="Slots",type=string,JSONPath=`.spec.slots`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Complete")].reason`
// +kubebuilder:printcolumn:name="Cleared",type=integer,JSONPath=`.status.cleared`
// +kubebuilder:printcolumn:name="Requested-By",type=string,JSONPath=`.spec.requestedBy`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Complete")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DeviceReset struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec asks for slots to be freed.
	Spec DeviceResetSpec `json:"spec"`
	// status is how far the reset has come.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status DeviceResetStatus `json:"status,omitempty,omitzero"`
}

// DeviceResetList is a list of DeviceResets.
//
// +kubebuilder:object:root=true
type DeviceResetList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DeviceReset `json:"items"`
}

// EffectiveRequestID is the id that makes the reset happen once: spec.requestID, or metadata.name.
func (r *DeviceReset) EffectiveRequestID() string {
	if r.Spec.RequestID != "" {
		return r.Spec.RequestID
	}
	return r.Name
}

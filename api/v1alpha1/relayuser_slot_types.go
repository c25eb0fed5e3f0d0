package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

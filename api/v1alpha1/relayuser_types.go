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
	// +kubebuilder:default={"observedGeneration":-1}
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

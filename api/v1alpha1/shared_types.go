package v1alpha1

// Slot is a place for one device of a user. A user has at most one device of each kind.
// +kubebuilder:validation:Enum=pc;mobile
type Slot string

const (
	// SlotPC holds the device of the PC viewer.
	SlotPC Slot = "pc"
	// SlotMobile holds the device of the mobile viewer.
	SlotMobile Slot = "mobile"
)

// Program is what connects to the relay.
// +kubebuilder:validation:Enum=viewer;client
type Program string

const (
	// ProgramViewer is the program on the device at hand.
	ProgramViewer Program = "viewer"
	// ProgramClient is the program on the machine at the far end that is worked on.
	ProgramClient Program = "client"
)

// ViewerKind tells which viewer is connecting.
// +kubebuilder:validation:Enum=pc;mobile;unbound
type ViewerKind string

const (
	// ViewerPC is the viewer of a PC. It authenticates its device.
	ViewerPC ViewerKind = "pc"
	// ViewerMobile is the viewer of a phone or tablet. It authenticates its device.
	ViewerMobile ViewerKind = "mobile"
	// ViewerUnbound is a viewer without device authentication, such as one on a USB stick.
	ViewerUnbound ViewerKind = "unbound"
)

// LocalReference names an object in the same namespace.
type LocalReference struct {
	// name is the object's metadata.name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be an object's metadata.name: lower case letters, digits, '-' and '.'"
	Name string `json:"name"`
}

// CIDR is an IP network such as 192.0.2.0/24 or 2001:db8::/32, without host bits.
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked()",message="must be a network such as 192.0.2.0/24 or 2001:db8::/32, with no bits set after the prefix"
type CIDR string

// MACAddress is a 48-bit hardware address, spelled 00:11:22:aa:bb:cc, 00-11-22-AA-BB-CC,
// 0011.22aa.bbcc or 001122aabbcc.
// +kubebuilder:validation:MaxLength=17
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}([.][0-9A-Fa-f]{4}){2}|[0-9A-Fa-f]{12})$')",message="must be a MAC address such as 00:11:22:aa:bb:cc, 00-11-22-AA-BB-CC, 0011.22aa.bbcc or 001122aabbcc"
type MACAddress string

// DeviceDigest is the keyed digest of a device's fingerprint: the id of the key, a colon, and the
// unpadded base64url of 32 bytes. It identifies a device without revealing its fingerprint.
// +kubebuilder:validation:MaxLength=60
type DeviceDigest string

// ConditionReady says whether the object can do its work. Its reason and message tell why not.
const ConditionReady = "Ready"

// Labels and annotations that Tegata sets or reads.
const (
	// LabelSecretType marks the Secrets that Tegata reads or writes, with one of the SecretType values.
	// The manager sees no other Secret. A Secret that a RelayUser names as its password must carry
	// tegata.dev/secret-type=password: whoever owns the Secret agrees by that label that it is used so.
	LabelSecretType = "tegata.dev/secret-type"
	// SecretTypePassword marks a Secret that holds one user's password or passwordHash.
	SecretTypePassword = "password"
	// SecretTypeCredentials marks a Secret that holds password hashes of a server's users.
	SecretTypeCredentials = "credentials"
	// SecretTypeKeys marks the Secret that holds a server's keys.
	SecretTypeKeys = "keys"
	// SecretTypeRADIUS marks a Secret that holds, under the key secret, what is shared with a RADIUS client.
	SecretTypeRADIUS = "radius"
	// SecretTypeRADIUSClients marks the Secret that holds the shared secrets of a server's RADIUS clients.
	SecretTypeRADIUSClients = "radius-clients"
	// SecretTypeBindings marks a Secret that holds a second record of devices of a server's users.
	SecretTypeBindings = "bindings"

	// AnnotationForgetBindings, when it is "true" on a RelayUser, has its devices forgotten once that object is
	// deleted. Without it a RelayUser of the same login name gets them back.
	AnnotationForgetBindings = "tegata.dev/forget-bindings-on-delete"

	// LabelRelayServer names the RelayServer that an object belongs to.
	LabelRelayServer = "tegata.dev/relay-server"
)

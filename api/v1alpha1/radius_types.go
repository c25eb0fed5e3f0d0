package v1alpha1

// RADIUS says which gateways may ask the relay's sidecars over RADIUS, and how their requests are read.
type RADIUS struct {
	// clients are the gateways (NAS) that may ask, each known by its network or by its certificate. A request
	// from any other address is dropped without an answer.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(a, !has(a.cidrs) || a.cidrs.all(c, self.exists_one(b, has(b.cidrs) && c in b.cidrs)))",message="has one network twice: of networks that overlap, the longest prefix decides, but no two may be the same"
	// +kubebuilder:validation:XValidation:rule="self.all(a, !has(a.certificateName) || self.exists_one(b, has(b.certificateName) && b.certificateName == a.certificateName))",message="has one certificateName twice"
	// +listType=map
	// +listMapKey=name
	Clients []RADIUSClient `json:"clients"`

	// attributes say where a request tells of the person's device.
	// +kubebuilder:default={}
	// +optional
	Attributes RADIUSAttributes `json:"attributes,omitempty,omitzero"`
}

// MessageAuthenticatorRequirement says which requests are dropped for want of a Message-Authenticator.
// +kubebuilder:validation:Enum=Always;Auto;Never
type MessageAuthenticatorRequirement string

const (
	// MessageAuthenticatorAlways drops every Access-Request without one.
	MessageAuthenticatorAlways MessageAuthenticatorRequirement = "Always"
	// MessageAuthenticatorAuto drops those of a client that has once sent a good one.
	MessageAuthenticatorAuto MessageAuthenticatorRequirement = "Auto"
	// MessageAuthenticatorNever takes requests without one.
	MessageAuthenticatorNever MessageAuthenticatorRequirement = "Never"
)

// RADIUSClient is a gateway, or a network of gateways with one shared secret.
//
// +kubebuilder:validation:XValidation:rule="has(self.cidrs) == has(self.secretRef)",message="cidrs and secretRef go together: they are for RADIUS over UDP"
// +kubebuilder:validation:XValidation:rule="has(self.cidrs) || has(self.certificateName)",message="needs cidrs and secretRef (RADIUS over UDP), certificateName (RADIUS over TLS), or both"
type RADIUSClient struct {
	// name names the client in logs, and is its key in the Secret that the sidecars read. It is a DNS label.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be a DNS label: lower case letters, digits and '-'"
	Name string `json:"name"`

	// cidrs are the networks that the client's UDP packets come from, spelled as Kubernetes spells them (IPv6 in
	// lower case and shortened). Where networks of several clients overlap, the longest prefix decides.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || string(cidr(self)) == self",message="must be spelled in the usual way, such as 2001:db8::/32"
	// +listType=set
	// +optional
	CIDRs []CIDR `json:"cidrs,omitempty"`

	// secretRef names the Secret that holds the secret shared with the client, under the key secret: 16 to 128
	// bytes. The Secret must carry the label tegata.dev/secret-type=radius: whoever owns it agrees by that to its
	// use.
	// +optional
	SecretRef *LocalReference `json:"secretRef,omitempty"`

	// certificateName is a DNS name in the certificate that the client shows for RADIUS over TLS (RadSec). Without
	// it the client may not use that.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="must be a DNS name in lower case, such as nas1.example.com"
	// +optional
	CertificateName string `json:"certificateName,omitempty"`

	// requireMessageAuthenticator says which Access-Requests over UDP are dropped because they lack the attribute
	// that shows they were not tampered with (BlastRADIUS, CVE-2024-3596). Always: each. Auto: each from the
	// client's first good one on, and each that passed a proxy. Never: none. A wrong one is never taken.
	// Always, unless you say otherwise.
	// +kubebuilder:default=Always
	// +optional
	RequireMessageAuthenticator MessageAuthenticatorRequirement `json:"requireMessageAuthenticator,omitempty"`

	// disconnectPort is the UDP port, at the address that the client's requests come from, to which a
	// Disconnect-Request (RFC 5176) is sent when a session must end: 3799, unless you say otherwise. 0: none is sent.
	// +kubebuilder:default=3799
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	DisconnectPort *int32 `json:"disconnectPort,omitempty"`
}

// RADIUSAttributes say where a request tells of the person's device.
type RADIUSAttributes struct {
	// device is the attribute that identifies the device: 8 to 1024 bytes, the same at each login. A request
	// without it is one of a device that does not identify itself.
	// +kubebuilder:default={name: "Cisco-AVPair", key: "mdm-tlv=device-uid"}
	// +optional
	Device RADIUSAttribute `json:"device,omitempty,omitzero"`

	// platform is the attribute that tells which viewer it is: see mobilePlatforms.
	// +kubebuilder:default={name: "Cisco-AVPair", key: "mdm-tlv=device-platform"}
	// +optional
	Platform RADIUSAttribute `json:"platform,omitempty,omitzero"`

	// macAddress is the attribute with the device's hardware address. Some gateways have it in
	// Calling-Station-Id.
	// +kubebuilder:default={name: "Cisco-AVPair", key: "mdm-tlv=device-public-mac"}
	// +optional
	MACAddress RADIUSAttribute `json:"macAddress,omitempty,omitzero"`

	// sourceAddress is the attribute with the person's IP address. When it holds none, the address is not known.
	// +kubebuilder:default={name: "Calling-Station-Id"}
	// +optional
	SourceAddress RADIUSAttribute `json:"sourceAddress,omitempty,omitzero"`

	// mobilePlatforms are the values of platform, in any case, that mean the viewer of a phone or tablet.
	// +kubebuilder:default={android, apple-ios}
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +listType=set
	// +optional
	MobilePlatforms []string `json:"mobilePlatforms,omitempty"`

	// otherViewer is the viewer of every other request.
	// +kubebuilder:default=pc
	// +optional
	OtherViewer ViewerKind `json:"otherViewer,omitempty"`
}

// RADIUSAttribute is where a value is found in a request.
type RADIUSAttribute struct {
	// name is an attribute with text in it: Calling-Station-Id, Called-Station-Id, NAS-Identifier, NAS-Port-Id,
	// Filter-Id, Connect-Info, Tunnel-Client-Endpoint, Chargeable-User-Identity, Cisco-AVPair, or any by its number:
	// Attr-31, and Attr-26.9.1 for attribute 1 of the vendor 9. Not one of those with a password in it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self in ['Calling-Station-Id', 'Called-Station-Id', 'NAS-Identifier', 'NAS-Port-Id', 'Filter-Id', 'Connect-Info', 'Tunnel-Client-Endpoint', 'Chargeable-User-Identity', 'Cisco-AVPair'] || (self.matches('^Attr-([1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$') && !(self in ['Attr-2', 'Attr-3', 'Attr-26', 'Attr-69', 'Attr-70', 'Attr-79', 'Attr-80'])) || self.matches('^Attr-26[.][1-9][0-9]{0,7}[.]([1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$')",message="must be the name of an attribute, such as Calling-Station-Id or Cisco-AVPair, or its number, such as Attr-31 or Attr-26.9.1, and not one with a password in it"
	Name string `json:"name"`

	// key is for attributes that hold pairs, key=value: the value of the first pair with this key counts. It is
	// compared exactly, and may have an = itself. Without it the whole attribute counts.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\p{Cc}]')",message="must be without control characters"
	// +optional
	Key string `json:"key,omitempty"`
}

// EffectiveDisconnectPort is DisconnectPort, or its default where an older API server has set none.
func (c *RADIUSClient) EffectiveDisconnectPort() int32 {
	if c.DisconnectPort == nil {
		return 3799
	}
	return *c.DisconnectPort
}

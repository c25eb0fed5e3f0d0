package nas

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// named are the attributes that have a name in the API, by RFC 2865, 2866, 2868, 2869 and 4372; Cisco's is its
// vendor's first.
var named = map[string]Attribute{
	"Filter-Id": {Type: 11}, "Called-Station-Id": {Type: 30}, "Calling-Station-Id": {Type: 31}, "NAS-Identifier": {Type: 32},
	"Tunnel-Client-Endpoint": {Type: 66}, "Connect-Info": {Type: 77}, "NAS-Port-Id": {Type: 87},
	"Chargeable-User-Identity": {Type: 89}, "Cisco-AVPair": {Vendor: 9, Type: 1},
}

// NewTable reads what a RelayServer says of RADIUS, and the Secret with the shared secrets. Nil says that nobody
// may ask. What is wrong leaves out what it is about, and is told; nothing of a secret is told.
//
// A client without a usable secret keeps its networks: its packets must not be taken for those of a client with a
// shorter prefix.
func NewTable(spec *v1alpha1.RADIUS, secrets map[string][]byte) (*Table, []error) {
	if spec == nil {
		return nil, nil
	}
	t := &Table{networks: map[netip.Prefix]*Client{}, certificates: map[string]*Client{}}
	var problems []error
	for i := range spec.Clients {
		if err := t.add(&spec.Clients[i], secrets); err != nil {
			problems = append(problems, err)
		}
	}
	t.v4, t.v6 = t.lengths()
	if err := t.Attributes.read(&spec.Attributes); err != nil {
		return nil, append(problems, err) // without them no device could be told from another
	}
	return t, problems
}

func (t *Table) add(spec *v1alpha1.RADIUSClient, secrets map[string][]byte) error {
	client := &Client{
		Name: spec.Name, Require: spec.RequireMessageAuthenticator, DisconnectPort: uint16(spec.EffectiveDisconnectPort()),
		secret: new(bytes.Clone(secrets[spec.Name])),
	}
	if spec.CertificateName != "" {
		overTLS := *client
		overTLS.secret = new([]byte(radSecSecret))
		overTLS.Require = v1alpha1.MessageAuthenticatorNever
		t.certificates[spec.CertificateName] = &overTLS
	}
	var problem error
	if len(spec.CIDRs) > 0 {
		if err := checkSecret(secrets[spec.Name]); err != nil {
			client, problem = nil, fmt.Errorf("client %s: %w", spec.Name, err)
		}
	}
	for _, c := range spec.CIDRs {
		prefix, err := netip.ParsePrefix(string(c))
		if err != nil {
			problem = fmt.Errorf("client %s: %s is no network", spec.Name, c)
			continue
		}
		t.networks[prefix.Masked()] = client
	}
	return problem
}

func (t *Table) lengths() (v4, v6 []int) {
	for prefix := range maps.Keys(t.networks) {
		if prefix.Addr().Is4() {
			v4 = append(v4, prefix.Bits())
		} else {
			v6 = append(v6, prefix.Bits())
		}
	}
	return longestFirst(v4), longestFirst(v6)
}

func longestFirst(lengths []int) []int {
	slices.Sort(lengths)
	lengths = slices.Compact(lengths)
	slices.Reverse(lengths)
	return lengths
}

func (a *Attributes) read(spec *v1alpha1.RADIUSAttributes) error {
	for _, field := range []struct {
		from v1alpha1.RADIUSAttribute
		to   *Attribute
	}{
		{spec.Device, &a.Device}, {spec.Platform, &a.Platform}, {spec.MACAddress, &a.MACAddress}, {spec.SourceAddress, &a.SourceAddress},
	} {
		attribute, err := parseAttribute(field.from)
		if err != nil {
			return err
		}
		*field.to = attribute
	}
	a.mobile = map[string]bool{}
	for _, platform := range spec.MobilePlatforms {
		a.mobile[strings.ToLower(platform)] = true
	}
	a.other = spec.OtherViewer
	return nil
}

// parseAttribute reads a name, or a number such as Attr-31 or Attr-26.9.1.
func parseAttribute(spec v1alpha1.RADIUSAttribute) (Attribute, error) {
	if attribute, ok := named[spec.Name]; ok {
		attribute.Key = spec.Key
		return attribute, nil
	}
	problem := fmt.Errorf("%q is no attribute", spec.Name)
	number, ok := strings.CutPrefix(spec.Name, "Attr-")
	if !ok {
		return Attribute{}, problem
	}
	attribute := Attribute{Key: spec.Key}
	if of, isVendors := strings.CutPrefix(number, "26."); isVendors {
		vendor, rest, _ := strings.Cut(of, ".")
		id, err := strconv.ParseUint(vendor, 10, 32)
		if err != nil {
			return Attribute{}, problem
		}
		attribute.Vendor, number = uint32(id), rest
	}
	n, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		return Attribute{}, problem
	}
	attribute.Type = byte(n)
	return attribute, nil
}

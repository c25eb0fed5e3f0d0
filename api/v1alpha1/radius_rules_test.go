package v1alpha1_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

const (
	notUDPNorTLS    = "needs cidrs and secretRef (RADIUS over UDP), certificateName (RADIUS over TLS), or both"
	notTogether     = "cidrs and secretRef go together: they are for RADIUS over UDP"
	networkTwice    = "spec.radius.clients: Invalid value: has one network twice: of networks that overlap, the longest prefix decides, but no two may be the same"
	notALabel       = "must be a DNS label: lower case letters, digits and '-'"
	notAnAttribute  = "must be the name of an attribute, such as Calling-Station-Id or Cisco-AVPair, or its number, such as Attr-31 or Attr-26.9.1, and not one with a password in it"
	notACertificate = "must be a DNS name in lower case, such as nas1.example.com"
)

// clients are the spec of a server with RADIUS clients.
func clients(list ...string) string {
	return fmt.Sprintf(`{host: a, radius: {clients: [%s]}}`, strings.Join(list, ", "))
}

// udp is a client with a network.
func udp(name string, cidrs ...string) string {
	for i := range cidrs {
		cidrs[i] = fmt.Sprintf("%q", cidrs[i])
	}
	return fmt.Sprintf(`{name: %s, cidrs: [%s], secretRef: {name: s}}`, name, strings.Join(cidrs, ", "))
}

// manyClients are n clients with as many networks each.
func manyClients(n, networks int) string {
	all := make([]string, n)
	for i := range all {
		cidrs := make([]string, networks)
		for j := range cidrs {
			cidrs[j] = fmt.Sprintf("2001:db8:%x:%x::/64", i+1, j+1)
		}
		all[i] = udp(fmt.Sprintf("nas%d", i), cidrs...)
	}
	return clients(all...)
}

func TestRADIUSClientRules(t *testing.T) {
	testRules(t, "RelayServer", "asp1", newServer, map[string]ruleCase{
		"over UDP":            {spec: clients(udp("vpn", "192.0.2.1/32"))},
		"over TLS":            {spec: clients(`{name: vpn, certificateName: vpn.example.com}`)},
		"over both":           {spec: clients(`{name: vpn, cidrs: [192.0.2.1/32], secretRef: {name: s}, certificateName: vpn.example.com}`)},
		"over nothing":        {spec: clients(`{name: vpn}`), want: []string{"spec.radius.clients[0]: Invalid value: " + notUDPNorTLS}},
		"without a secret":    {spec: clients(`{name: vpn, cidrs: [192.0.2.1/32]}`), want: []string{"spec.radius.clients[0]: Invalid value: " + notTogether}},
		"without a network":   {spec: clients(`{name: vpn, secretRef: {name: s}}`), want: []string{"spec.radius.clients[0]: Invalid value: " + notTogether, "spec.radius.clients[0]: Invalid value: " + notUDPNorTLS}},
		"without clients":     {spec: `{host: a, radius: {}}`, want: []string{"spec.radius.clients: Required value"}},
		"with no client":      {spec: clients(), want: []string{"spec.radius.clients: Invalid value: 0: spec.radius.clients in body should have at least 1 items"}},
		"64 clients of 8":     {spec: manyClients(64, 8)},
		"65 clients":          {spec: manyClients(65, 1), want: []string{"spec.radius.clients: Too many: 65: must have at most 64 items"}},
		"9 networks":          {spec: manyClients(1, 9), want: []string{"spec.radius.clients[0].cidrs: Too many: 9: must have at most 8 items"}},
		"overlapping":         {spec: clients(udp("all", "192.0.2.0/24"), udp("one", "192.0.2.1/32"))},
		"the same network":    {spec: clients(udp("a", "192.0.2.0/24"), udp("b", "198.51.100.0/24", "192.0.2.0/24")), want: []string{networkTwice}},
		"the same, IPv6":      {spec: clients(udp("a", "2001:db8::/32"), udp("b", "2001:db8::/32")), want: []string{networkTwice}},
		"another spelling":    {spec: clients(udp("a", "2001:DB8::/32")), want: []string{`spec.radius.clients[0].cidrs[0]: Invalid value: "2001:DB8::/32": must be spelled in the usual way, such as 2001:db8::/32`}},
		"host bits":           {spec: clients(udp("a", "192.0.2.1/24")), want: []string{`spec.radius.clients[0].cidrs[0]: Invalid value: "192.0.2.1/24": ` + notANetwork}},
		"one name twice":      {spec: clients(udp("a", "192.0.2.1/32"), udp("a", "192.0.2.2/32")), want: []string{`spec.radius.clients[1]: Duplicate value: {"name":"a"}`}},
		"name with a dot":     {spec: clients(udp("a.b", "192.0.2.1/32")), want: []string{`spec.radius.clients[0].name: Invalid value: "a.b": ` + notALabel}},
		"name of 63":          {spec: clients(udp(times("a", 63), "192.0.2.1/32"))},
		"name of 64":          {spec: clients(udp(times("a", 64), "192.0.2.1/32")), want: []string{"spec.radius.clients[0].name: Too long: may not be more than 63 bytes"}},
		"certificate's case":  {spec: clients(`{name: vpn, certificateName: VPN}`), want: []string{`spec.radius.clients[0].certificateName: Invalid value: "VPN": ` + notACertificate}},
		"one certificate":     {spec: clients(`{name: a, certificateName: b}, {name: c, certificateName: b}`), want: []string{"spec.radius.clients: Invalid value: has one certificateName twice"}},
		"requirement Auto":    {spec: clients(`{name: a, certificateName: b, requireMessageAuthenticator: Auto}`)},
		"requirement Never":   {spec: clients(`{name: a, certificateName: b, requireMessageAuthenticator: Never}`)},
		"requirement unknown": {spec: clients(`{name: a, certificateName: b, requireMessageAuthenticator: never}`), want: []string{`spec.radius.clients[0].requireMessageAuthenticator: Unsupported value: "never": supported values: "Always", "Auto", "Never"`}},
		"no Disconnect":       {spec: clients(`{name: a, certificateName: b, disconnectPort: 0}`)},
		"port of 65536":       {spec: clients(`{name: a, certificateName: b, disconnectPort: 65536}`), want: []string{"spec.radius.clients[0].disconnectPort: Invalid value: 65536: spec.radius.clients[0].disconnectPort in body should be less than or equal to 65535"}},
		"port below 0":        {spec: clients(`{name: a, certificateName: b, disconnectPort: -1}`), want: []string{"spec.radius.clients[0].disconnectPort: Invalid value: -1: spec.radius.clients[0].disconnectPort in body should be greater than or equal to 0"}},
	})
}

func TestRADIUSAttributeRules(t *testing.T) {
	device := func(attribute string) string {
		return fmt.Sprintf(`{host: a, radius: {clients: [{name: a, certificateName: b}], attributes: {device: %s}}}`, attribute)
	}
	cases := map[string]ruleCase{
		"without a name": {spec: device(`{key: a}`), want: []string{"spec.radius.attributes.device.name: Required value"}},
		"key of 128":     {spec: device(`{name: Cisco-AVPair, key: ` + times("k", 128) + `}`)},
		"key of 129":     {spec: device(`{name: Cisco-AVPair, key: ` + times("k", 129) + `}`), want: []string{"spec.radius.attributes.device.key: Too long: may not be more than 128 bytes"}},
		"key of 2 lines": {spec: device(`{name: Cisco-AVPair, key: "a\nb"}`), want: []string{`spec.radius.attributes.device.key: Invalid value: "a\nb": must be without control characters`}},
		"viewer unknown": {
			spec: `{host: a, radius: {clients: [{name: a, certificateName: b}], attributes: {otherViewer: tv}}}`,
			want: []string{`spec.radius.attributes.otherViewer: Unsupported value: "tv": supported values: "pc", "mobile", "unbound"`},
		},
		"platform of nothing": {
			spec: `{host: a, radius: {clients: [{name: a, certificateName: b}], attributes: {mobilePlatforms: [""]}}}`,
			want: []string{`spec.radius.attributes.mobilePlatforms[0]: Invalid value: "": spec.radius.attributes.mobilePlatforms[0] in body should be at least 1 chars long`},
		},
	}
	for _, good := range []string{"Calling-Station-Id", "Cisco-AVPair", "Tunnel-Client-Endpoint", "Attr-1", "Attr-31", "Attr-255", "Attr-26.9.1", "Attr-26.16777215.255"} {
		cases[good] = ruleCase{spec: device(`{name: ` + good + `}`)}
	}
	for _, bad := range []string{"User-Password", "calling-station-id", "Attr-0", "Attr-2", "Attr-3", "Attr-26", "Attr-79", "Attr-80", "Attr-256", "Attr-26.0.1", "Attr-26.9.0", "Attr-26.9.256", "Attr-031", "Attr-31 "} {
		cases[bad] = ruleCase{
			spec: device(fmt.Sprintf(`{name: %q}`, bad)),
			want: []string{fmt.Sprintf("spec.radius.attributes.device.name: Invalid value: %q: %s", bad, notAnAttribute)},
		}
	}
	testRules(t, "RelayServer", "asp1", newServer, cases)
}

// TestRADIUSDefaults: what a gateway need not say is what the strictest of them may be asked for.
func TestRADIUSDefaults(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("RelayServer", "asp1", clients(udp("vpn", "192.0.2.1/32")), "created")
	pair := func(key string) v1alpha1.RADIUSAttribute {
		return v1alpha1.RADIUSAttribute{Name: "Cisco-AVPair", Key: "mdm-tlv=" + key}
	}
	want := &v1alpha1.RADIUS{
		Clients: []v1alpha1.RADIUSClient{{
			Name: "vpn", CIDRs: []v1alpha1.CIDR{"192.0.2.1/32"}, SecretRef: &v1alpha1.LocalReference{Name: "s"},
			RequireMessageAuthenticator: v1alpha1.MessageAuthenticatorAlways, DisconnectPort: new(int32(3799)),
		}},
		Attributes: v1alpha1.RADIUSAttributes{
			Device: pair("device-uid"), Platform: pair("device-platform"), MACAddress: pair("device-public-mac"),
			SourceAddress:   v1alpha1.RADIUSAttribute{Name: "Calling-Station-Id"},
			MobilePlatforms: []string{"android", "apple-ios"}, OtherViewer: v1alpha1.ViewerPC,
		},
	}
	if diff := cmp.Diff(want, get(k, &v1alpha1.RelayServer{}, "asp1").Spec.RADIUS); diff != "" {
		t.Errorf("spec.radius (-want +got):\n%s", diff)
	}
	k.mustApply("RelayServer", "asp2", `{host: a}`, "created")
	if got := get(k, &v1alpha1.RelayServer{}, "asp2").Spec.RADIUS; got != nil {
		t.Errorf("a server that says nothing of RADIUS has %+v", got)
	}
}

// TestRADIUSPageApplies applies the examples of docs/radius.md.
func TestRADIUSPageApplies(t *testing.T) {
	k := newKubectl(t)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readPage(t, "../../docs/radius.md"), -1)
	if len(examples) == 0 {
		t.Fatal("it has none")
	}
	for _, match := range examples {
		k.run(match[1], "apply", "-f", "-")
	}
}

// TestRADIUSPageTellsEveryField of the part that it is about.
func TestRADIUSPageTellsEveryField(t *testing.T) {
	page := readPage(t, "../../docs/radius.md")
	for _, crd := range readCRDs(t) {
		for _, field := range fieldsOf(crd.root.Properties["spec"].Properties["radius"]) {
			if !strings.Contains(page, "`"+field+"`") && !strings.Contains(page, field+":") && !strings.Contains(page, "."+field) {
				t.Errorf("docs/radius.md does not tell of %s", field)
			}
		}
	}
}

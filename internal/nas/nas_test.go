package nas

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

const secret = "0123456789abcdef"

var attributes = v1alpha1.RADIUSAttributes{
	Device:          v1alpha1.RADIUSAttribute{Name: "Cisco-AVPair", Key: "mdm-tlv=device-uid"},
	Platform:        v1alpha1.RADIUSAttribute{Name: "Attr-26.9.1", Key: "mdm-tlv=device-platform"},
	MACAddress:      v1alpha1.RADIUSAttribute{Name: "Attr-31"},
	SourceAddress:   v1alpha1.RADIUSAttribute{Name: "Tunnel-Client-Endpoint"},
	MobilePlatforms: []string{"Android"}, OtherViewer: v1alpha1.ViewerUnbound,
}

func udp(name string, cidrs ...v1alpha1.CIDR) v1alpha1.RADIUSClient {
	return v1alpha1.RADIUSClient{Name: name, CIDRs: cidrs, SecretRef: &v1alpha1.LocalReference{Name: name}}
}

func TestTheLongestPrefixDecides(t *testing.T) {
	spec := &v1alpha1.RADIUS{Attributes: attributes, Clients: []v1alpha1.RADIUSClient{
		udp("all", "0.0.0.0/0"), udp("net", "192.0.2.0/24", "2001:db8::/32"), udp("one", "192.0.2.1/32"),
		udp("weak", "192.0.2.8/29"), udp("six", "2001:db8:1::/48"),
	}}
	table, problems := NewTable(spec, map[string][]byte{
		"all": []byte(secret), "net": []byte(secret), "one": []byte(secret), "weak": []byte("short"), "six": []byte(secret),
	})
	if len(problems) != 1 || problems[0].Error() != "client weak: the shared secret must have 16 to 128 bytes" {
		t.Errorf("problems %q", problems)
	}
	for address, want := range map[string]string{
		"192.0.2.1": "one", "::ffff:192.0.2.1": "one", "192.0.2.2": "net", "198.51.100.1": "all",
		"192.0.2.9":   "", // not that of a shorter prefix
		"2001:db8::1": "net", "2001:db8:1::1": "six", "2001:db8:1::1%eth0": "six", "2001:db9::1": "",
	} {
		got := ""
		if c := table.ByAddress(netip.MustParseAddr(address)); c != nil {
			got = c.Name
		}
		if got != want {
			t.Errorf("%s is of %q, want %q", address, got, want)
		}
	}
	if c := table.ByAddress(netip.Addr{}); c != nil {
		t.Errorf("no address is of %q", c.Name)
	}
}

func TestCertificates(t *testing.T) {
	spec := &v1alpha1.RADIUS{Attributes: attributes, Clients: []v1alpha1.RADIUSClient{
		{Name: "tls", CertificateName: "nas1.example.com", RequireMessageAuthenticator: v1alpha1.MessageAuthenticatorAlways},
		udp("plain", "192.0.2.1/32"),
	}}
	table, problems := NewTable(spec, map[string][]byte{"plain": []byte(secret)})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	c := table.ByCertificate([]string{"other.example.com", "NAS1.example.com"})
	if c == nil || c.Name != "tls" || string(c.Secret()) != "radsec" || c.Require != v1alpha1.MessageAuthenticatorNever {
		t.Errorf("found %+v", c)
	}
	for _, names := range [][]string{nil, {""}, {"plain"}, {"example.com"}} {
		if c := table.ByCertificate(names); c != nil {
			t.Errorf("%q are of %s", names, c.Name)
		}
	}
}

func TestAttributes(t *testing.T) {
	table, problems := NewTable(&v1alpha1.RADIUS{Attributes: attributes}, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []Attribute{
		{Vendor: 9, Type: 1, Key: "mdm-tlv=device-uid"}, {Vendor: 9, Type: 1, Key: "mdm-tlv=device-platform"}, {Type: 31}, {Type: 66},
	}
	a := &table.Attributes
	if diff := cmp.Diff(want, []Attribute{a.Device, a.Platform, a.MACAddress, a.SourceAddress}); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	for platform, want := range map[string]v1alpha1.ViewerKind{
		"android": v1alpha1.ViewerMobile, "ANDROID": v1alpha1.ViewerMobile, "win": v1alpha1.ViewerUnbound, "": v1alpha1.ViewerUnbound,
	} {
		if got := a.Viewer(platform); got != want {
			t.Errorf("platform %q is of the viewer %s, want %s", platform, got, want)
		}
	}
	for _, bad := range []string{"", "User-Password", "Attr-", "Attr-256", "Attr-26.", "Attr-26.9", "Attr-26.9.", "Attr-26.x.1", "Attr-26.99999999999.1"} {
		spec := attributes
		spec.Device.Name = bad
		if table, problems := NewTable(&v1alpha1.RADIUS{Attributes: spec}, nil); table != nil || len(problems) != 1 {
			t.Errorf("attribute %q: %v, %v; want no table", bad, table, problems)
		}
	}
}

func TestParseSecret(t *testing.T) {
	for name, tc := range map[string]struct {
		data map[string][]byte
		want string
		err  string
	}{
		"good":              {data: map[string][]byte{"secret": []byte(secret)}, want: secret},
		"with a line break": {data: map[string][]byte{"secret": []byte(secret + "\r\n")}, want: secret},
		"of 128":            {data: map[string][]byte{"secret": []byte(strings.Repeat("a", 128))}, want: strings.Repeat("a", 128)},
		"of 129":            {data: map[string][]byte{"secret": []byte(strings.Repeat("a", 129))}, err: "16 to 128 bytes"},
		"of 15":             {data: map[string][]byte{"secret": []byte(secret[1:] + "\n")}, err: "16 to 128 bytes"},
		"two lines":         {data: map[string][]byte{"secret": []byte(secret + "\n" + secret)}, err: "control characters"},
		"another key":       {data: map[string][]byte{"password": []byte(secret)}, err: "the key secret"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseSecret(tc.data)
			switch {
			case tc.err == "" && (err != nil || string(got) != tc.want):
				t.Errorf("read %q, %v", got, err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), secret)):
				t.Errorf("error %v, want one of %q", err, tc.err)
			}
		})
	}
}

// TestClientsHideTheirSecret, however they are printed.
func TestClientsHideTheirSecret(t *testing.T) {
	table, _ := NewTable(&v1alpha1.RADIUS{Attributes: attributes, Clients: []v1alpha1.RADIUSClient{udp("a", "192.0.2.1/32")}}, map[string][]byte{"a": []byte(secret)})
	c := table.ByAddress(netip.MustParseAddr("192.0.2.1"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		if printed := fmt.Sprintf(verb, c) + fmt.Sprintf(verb, *c) + fmt.Sprintf(verb, table); strings.Contains(printed, secret) {
			t.Errorf("%s shows the secret: %s", verb, printed)
		}
	}
}

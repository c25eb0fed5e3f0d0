package clientaddr

import (
	"net/netip"
	"strings"
	"testing"
)

func TestSource(t *testing.T) {
	const proxy, person = "10.0.0.7:1234", "203.0.113.9"
	trust := []string{"10.0.0.0/8", "fd00::/8", "192.0.2.1/32"}
	for name, tc := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"directly":                         {person + ":999", nil, person},
		"directly, and lying":              {person + ":999", []string{"198.51.100.1"}, person},
		"IPv6":                             {"[2001:db8::1]:999", nil, "2001:db8::1"},
		"IPv6 of this link":                {"[fe80::1%eth0]:999", nil, "fe80::1"},
		"IPv4 in IPv6":                     {"[::ffff:203.0.113.9]:999", nil, person},
		"by a proxy":                       {proxy, []string{person}, person},
		"by a proxy, IPv4 in IPv6":         {"[::ffff:10.0.0.7]:1234", []string{"::ffff:203.0.113.9"}, person},
		"by an IPv6 proxy":                 {"[fd00::1]:1234", []string{"2001:db8::2"}, "2001:db8::2"},
		"by an IPv6 proxy with a zone":     {"[fd00::1%eth0]:1234", []string{"2001:db8::2"}, "2001:db8::2"},
		"by two proxies":                   {proxy, []string{person + ", 10.9.9.9"}, person},
		"by two proxies, two headers":      {proxy, []string{person, "10.9.9.9"}, person},
		"by two proxies, and lying":        {proxy, []string{"198.51.100.1, " + person + " ,\t10.9.9.9"}, person},
		"lying in a header of its own":     {proxy, []string{"198.51.100.1", person}, person},
		"lying that it is a proxy":         {proxy, []string{"198.51.100.1, 10.1.1.1, " + person}, person},
		"lying with garbage":               {proxy, []string{"%00,;'--, " + person}, person},
		"by an untrusted proxy":            {proxy, []string{person + ", 198.51.100.1"}, "198.51.100.1"},
		"only proxies":                     {proxy, []string{"10.1.1.1, 10.2.2.2"}, "10.1.1.1"},
		"a proxy that says nothing":        {proxy, nil, "10.0.0.7"},
		"a proxy with an empty header":     {proxy, []string{""}, "10.0.0.7"},
		"a proxy with empty hops":          {proxy, []string{person + ", ,"}, "invalid IP"},
		"a proxy that hides":               {proxy, []string{"unknown"}, "invalid IP"},
		"a second proxy that hides":        {proxy, []string{person + ", _hidden, 192.0.2.1"}, "invalid IP"},
		"a name":                           {proxy, []string{"relay.example"}, "invalid IP"},
		"with a port":                      {proxy, []string{person + ":4711"}, person},
		"in brackets":                      {proxy, []string{"[2001:db8::2]"}, "2001:db8::2"},
		"in brackets with a port":          {proxy, []string{"[2001:db8::2]:4711"}, "2001:db8::2"},
		"with a zone":                      {proxy, []string{"fe80::2%25eth0"}, "fe80::2"},
		"half a bracket":                   {proxy, []string{"[2001:db8::2"}, "invalid IP"},
		"quoted":                           {proxy, []string{`"` + person + `"`}, "invalid IP"},
		"leading zeros":                    {proxy, []string{"203.0.113.009"}, "invalid IP"},
		"short":                            {proxy, []string{"203.113"}, "invalid IP"},
		"a prefix":                         {proxy, []string{"203.0.113.0/24"}, "invalid IP"},
		"32 hops":                          {proxy, []string{person + strings.Repeat(", 10.1.1.1", 31)}, person},
		"33 hops":                          {proxy, []string{person + strings.Repeat(", 10.1.1.1", 32)}, "10.1.1.1"},
		"1,000 hops":                       {proxy, []string{person + strings.Repeat(", 10.1.1.1", 999)}, "10.1.1.1"},
		"1,000 hops of an untrusted proxy": {proxy, []string{strings.Repeat("10.1.1.1, ", 999) + person}, person},
		"no address":                       {"@", []string{person}, "invalid IP"},
		"none at all":                      {"", nil, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Of(Peer(tc.peer), tc.forwarded, networks(t, trust...)).String(); got != tc.want {
				t.Errorf("source %s, want %s", got, tc.want)
			}
		})
	}
}

func TestWithoutProxiesItIsTheConnections(t *testing.T) {
	got := Of(Peer("10.0.0.7:1234"), []string{"203.0.113.9"}, nil)
	if want := netip.MustParseAddr("10.0.0.7"); got != want {
		t.Errorf("source %s, want %s", got, want)
	}
}

// FuzzOf: no header moves the source of a connection that is not a trusted proxy's, and what a proxy
// passes on is an address in its one spelling.
func FuzzOf(f *testing.F) {
	for _, seed := range []string{
		"", "203.0.113.9", "203.0.113.9, 10.0.0.1", "[2001:db8::1%eth0]:1", ",,,", "::ffff:10.0.0.1", "[", "1:2",
	} {
		f.Add(seed, "10.0.0.7:1")
		f.Add(seed, "203.0.113.1:1")
	}
	proxies := networks(f, "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, forwarded, peer string) {
		direct := Peer(peer)
		got := Of(direct, []string{forwarded}, proxies)
		if !direct.IsValid() && got.IsValid() {
			t.Fatalf("source %s of no address", got)
		}
		if !Trusted(proxies, direct) && got != direct {
			t.Fatalf("source %s, want %s", got, direct)
		}
		if got.Zone() != "" || got.Is4In6() {
			t.Fatalf("source %s", got)
		}
	})
}

func networks(t testing.TB, cidrs ...string) []netip.Prefix {
	t.Helper()
	var all []netip.Prefix
	for _, c := range cidrs {
		p, err := netip.ParsePrefix(c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

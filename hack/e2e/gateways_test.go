package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shared is what a RADIUS client shares with the sidecars.
const shared = "a-shared-secret-of-a-gateway"

// startGateways starts a sidecar for gateways, and a proxy that is configured as docs/nginx.md says.
func (c *cluster) startGateways(t *testing.T) {
	c.run(t, "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=gateways 2>/dev/null"+
		" -addext subjectAltName=DNS:gateways."+namespace+".svc,DNS:asp1-auth."+namespace+".svc,DNS:app.example.com -keyout gateways.key -out gateways.crt")
	for _, name := range []string{"gateways-tls", "asp1-auth-tls"} {
		c.run(t, "kubectl -n "+namespace+" create secret tls "+name+" --cert=gateways.crt --key=gateways.key")
	}
	conf := filepath.Join(c.dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(nginxConf(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, "kubectl -n "+namespace+" create configmap proxy --from-file=nginx.conf="+conf)
	const central = "config/samples/central.yaml"
	c.edit(t, central, "tegata-sidecar:latest", "tegata-sidecar:"+version)
	c.edit(t, central, "ingress-nginx", namespace) // that is where the proxy is
	c.run(t, "kubectl -n "+namespace+" apply -f "+central)
	c.apply(t, "gateways.yaml", "VERSION", version)
	c.run(t, "kubectl -n "+namespace+" rollout status deployment/asp1-auth deployment/gateways --timeout=2m")
	c.run(t, "kubectl -n "+namespace+" wait pod/proxy --for=condition=Ready --timeout=2m")
	// What the proxy says of a person's address is believed, and so is the relay, beside its sidecar.
	c.run(t, fmt.Sprintf(`%s patch relayserver asp1 --type=merge -p '{"spec":{"trustedProxies":["127.0.0.0/8","%s/32"]}}'`, alice, c.podIP(t, "proxy")))
}

func (c *cluster) podIP(t *testing.T, pod string) string {
	t.Helper()
	return c.run(t, "kubectl -n "+namespace+" get pod "+pod+" -o jsonpath='{.status.podIP}'")
}

// nginxConf is the page's configuration, for a sidecar on another machine, as the page's end has it.
func nginxConf(t *testing.T) string {
	t.Helper()
	config := block(t, readPage(t, "nginx.md").section(t, "The configuration"), "nginx")
	central := "asp1-auth." + namespace + ".svc"
	for from, to := range map[string]string{
		"listen 443 ssl": "listen 8443 ssl", "127.0.0.1:8295": central + ":443", "http://tegata": "https://tegata",
		"/etc/nginx/tls/app.crt": "/tls/tls.crt", "/etc/nginx/tls/app.key": "/tls/tls.key",
		"proxy_http_version 1.1;": "proxy_http_version 1.1; proxy_ssl_verify on; proxy_ssl_trusted_certificate /tls/tls.crt; proxy_ssl_name " + central + ";",
	} {
		if !strings.Contains(config, from) {
			t.Fatalf("docs/nginx.md does not say %q", from)
		}
		config = strings.ReplaceAll(config, from, to)
	}
	return "daemon off; error_log stderr; pid /tmp/pid;\nevents {}\nhttp {\naccess_log off;\n" +
		"client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\n" + config + "}\n"
}

// browse asks the application through the proxy, and returns the answer's status, its headers and its body.
func (c *cluster) browse(t *testing.T, arguments ...string) (status, header, body string) {
	t.Helper()
	curl := append([]string{
		"/usr/bin/curl", "-sSik", "--max-time", "40", "--connect-to", "app.example.com:443:proxy:443", "https://app.example.com/",
	}, arguments...)
	out := strings.ReplaceAll(c.exec(t, "people", "", curl...), "\r", "")
	header, body, _ = strings.Cut(out, "\n\n")
	match := regexp.MustCompile(`^HTTP/\S+ (\d+)`).FindStringSubmatch(header)
	if match == nil { // a Service that is new is not known to the node at once
		return "no answer", "", out
	}
	return match[1], header, body
}

// cookie is what taro's PC gets when it logs in at the proxy, and the answer's body.
func (c *cluster) cookie(t *testing.T, arguments ...string) (cookie, body string) {
	t.Helper()
	device := slices.Concat(arguments, []string{"-u", "taro:" + password, "-H", "X-Tegata-Viewer: pc", "-H", "X-Tegata-Device: " + aPC})
	var header string
	eventually(t, func() error { // until the sidecar has heard of trustedProxies
		var status string
		if status, header, body = c.browse(t, device...); status != "200" {
			return fmt.Errorf("taro: %s %s", header, body)
		}
		return nil
	})
	match := regexp.MustCompile(`(?im)^set-cookie: (__Host-tegata-session=[^;]+)`).FindStringSubmatch(header)
	if match == nil {
		t.Fatalf("no cookie: %s", header)
	}
	return match[1], body
}

// forwardAuth: nobody passes the proxy without a login, and with one the application is told who it is.
func (c *cluster) forwardAuth(t *testing.T) {
	eventually(t, func() error {
		if status, header, body := c.browse(t); status != "401" || !strings.Contains(body, `"code":293`) {
			return fmt.Errorf("nobody: %s %s", header, body)
		}
		return nil
	})
	if status, _, body := c.browse(t, "-H", "X-Tegata-User: taro", "-H", "Authorization: Bearer x"); status != "401" {
		t.Errorf("somebody who says that they are taro: %s %s", status, body)
	}
	cookie, body := c.cookie(t, "-H", "X-Tegata-User: root")
	var seen http.Header
	if err := json.Unmarshal([]byte(body), &seen); err != nil {
		t.Fatalf("the application answers %s", body)
	}
	if got := seen.Values("X-Tegata-User"); len(got) != 1 || got[0] != "taro" || seen.Get("X-Tegata-Slot") != "pc" || seen.Get("Authorization") != "" {
		t.Errorf("the application was told %v", seen)
	}
	if status, _, body := c.browse(t, "-H", "Cookie: "+cookie); status != "200" {
		t.Errorf("taro with the cookie: %s %s", status, body)
	}
	c.mustRefuse(t, "taro", password, "pc", "another-pc-0000")
	// A session ends with the user's suspension, at every sidecar, and not before.
	c.run(t, alice+`patch relayuser taro --type=merge -p '{"spec":{"suspended":true}}'`)
	eventually(t, func() error {
		if status, _, _ := c.browse(t, "-H", "Cookie: "+cookie); status != "401" {
			return fmt.Errorf("suspended: %s", status)
		}
		return nil
	})
	c.run(t, alice+`patch relayuser taro --type=merge -p '{"spec":{"suspended":false}}'`)
	c.mustLogin(t, "taro", "pc", aPC)
}

// radius: a gateway in another pod asks over UDP, as docs/radius.md says.
func (c *cluster) radius(t *testing.T) {
	p := readPage(t, "radius.md").section(t, "Set it up")
	c.env = append(c.env, "SECRET="+shared)
	for _, command := range []string{
		"create secret generic vpn1-radius --from-literal=secret=" + shared, "label secret vpn1-radius tegata.dev/secret-type=radius",
	} {
		c.run(t, "kubectl -n "+namespace+" "+command)
	}
	server := strings.Replace(block(t, p, "yaml"), "127.0.0.1/32", c.podIP(t, "people")+"/32", 1)
	c.run(t, "kubectl -n "+namespace+" apply --server-side --force-conflicts --field-manager=radius -f -", server)
	c.run(t, "kubectl -n "+namespace+" wait relayserver/asp1 --for=condition=RADIUSReady --timeout=1m")
	// The PC that RADIUS tells of is another than the one that logged in at the relay: it has a user of its own.
	c.run(t, "kubectl -n "+namespace+" create -f -", strings.Replace(c.sample(t, "relayuser.yaml"), "name: taro\n", "name: jiro\n", 1))
	c.run(t, "kubectl -n "+namespace+" wait relayuser/jiro --for=condition=Ready --timeout=1m")
	ask := func(changes ...string) string {
		t.Helper()
		command := strings.NewReplacer(append(changes, "radclient -x 127.0.0.1:1812", "kubectl -n "+namespace+" exec -i people -- /usr/bin/radclient -x gateways:1812",
			`"taro"`, `"jiro"`)...).Replace(block(t, p, "sh"))
		out, err := c.try(command)
		return fmt.Sprint(out, err) // it fails when it is rejected
	}
	eventually(t, func() error {
		if out := ask(); !strings.Contains(out, "Received Access-Accept") {
			return fmt.Errorf("login: %s", out)
		}
		return nil
	})
	if out := ask("5A1F9C7E20B344D8", "another-device-1"); !strings.Contains(out, "Received Access-Reject") || !strings.Contains(out, "293") {
		t.Errorf("another device: %s", out)
	}
	c.eventually(t, hana+"get relayuser jiro", "Registered", "DeviceMismatch")
	c.eventually(t, hana+"get accessrecords -o wide --field-selector user=jiro", "radius", "DeviceMismatch", "203.0.113.9")
}

func (c *cluster) sample(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, "config/samples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

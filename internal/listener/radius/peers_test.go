package radius

import (
	"bytes"
	"context"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/nas"
)

// page is docs/radius.md, whose configuration these tests run.
func page(t *testing.T, language string) string {
	t.Helper()
	content, err := os.ReadFile("../../../docs/radius.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(content), -1)
	if len(blocks) != 1 {
		t.Fatalf("the page has %d blocks of %s, want one", len(blocks), language)
	}
	return blocks[0][1]
}

// program is a program of another project that a test cannot do without.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: install the Debian package %s", name, debian)
	}
	if err != nil {
		t.Skipf("SKIPPED, AND WITH IT A REAL PEER: %s is missing; install the Debian package %s", name, debian)
	}
	return path
}

// documented has a lab with the clients that the page's RelayServer names, with the defaults of the API.
func documented(t *testing.T) *lab {
	t.Helper()
	server := &v1alpha1.RelayServer{}
	if err := yaml.UnmarshalStrict([]byte(page(t, "yaml")), server); err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	spec := server.Spec.RADIUS
	spec.Attributes = testSpec().Attributes
	spec.Clients[0].RequireMessageAuthenticator = v1alpha1.MessageAuthenticatorAlways
	table, problems := nas.NewTable(spec, map[string][]byte{spec.Clients[0].Name: []byte(shared)})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table = table
	return l
}

// radclient runs the page's command line, changed by pairs of what it says and what it is to say.
func radclient(t *testing.T, changes ...string) (output string, ok bool) {
	t.Helper()
	script := strings.NewReplacer(changes...).Replace(page(t, "sh"))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Env = append(os.Environ(), "SECRET="+shared)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func TestRadclient(t *testing.T) {
	program(t, "radclient", "freeradius-utils")
	l := documented(t)
	at := []string{"127.0.0.1:1812", l.addresses[Authentication].String()}
	output, ok := radclient(t, at...)
	for _, want := range []string{"Received Access-Accept", "Session-Timeout = 3", "Class = 0x7465676174613a", "Message-Authenticator = 0x"} {
		if !ok || !strings.Contains(output, want) {
			t.Fatalf("radclient does not say %q:\n%s", want, output)
		}
	}
	got := l.asked()[0]
	if got.UserName != "taro" || got.Fingerprint == nil || got.Source.String() != "203.0.113.9" {
		t.Errorf("attempt %+v", got)
	}
	output, ok = radclient(t, append(at, goodPassword, "wrong")...)
	if ok || !strings.Contains(output, "Received Access-Reject") || !strings.Contains(output, "(Inquiry code: 293) (Correlation ID: ") {
		t.Errorf("a wrong password: %s", output)
	}
	// Not signed, or with another secret, it is not answered. One try is enough to see that.
	once := append([]string{"radclient -x", "radclient -x -r 1 -t 1"}, at...)
	for name, change := range map[string][]string{
		"unsigned":       {"Message-Authenticator = 0x00\n", ""},
		"another secret": {`"$SECRET"`, "another-secret-of-somebody"},
	} {
		if output, ok := radclient(t, append(once, change...)...); ok || !strings.Contains(output, "No reply from server") {
			t.Errorf("%s: %s", name, output)
		}
	}
	if output, ok := radclient(t, append(at, " auth ", " status ")...); !ok || !strings.Contains(output, "Received Access-Accept") {
		t.Errorf("Status-Server: %s", output)
	}
	accounting := []string{
		"127.0.0.1:1812", l.addresses[Accounting].String(), " auth ", " acct ", "Message-Authenticator = 0x00", "Acct-Status-Type = Start\nAcct-Session-Id = \"a\"",
		"User-Password", "Reply-Message",
	}
	if output, ok := radclient(t, accounting...); !ok || !strings.Contains(output, "Received Accounting-Response") {
		t.Errorf("accounting: %s", output)
	}
	l.counted("access-request accepted", 1)
}

// TestRadsecproxy: radclient asks radsecproxy over UDP, which asks the listener over TLS.
func TestRadsecproxy(t *testing.T) {
	program(t, "radclient", "freeradius-utils")
	proxy := program(t, "radsecproxy", "radsecproxy")
	l, a := documented(t), newAuthority(t)
	host, port, err := net.SplitHostPort(l.serveTLS(a, 8))
	if err != nil {
		t.Fatal(err)
	}
	directory, udp := t.TempDir(), freePort(t)
	a.write(directory, a.named("vpn1.example.com"), "tls.crt", "tls.key")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
	if err := os.WriteFile(filepath.Join(directory, "ca.crt"), authority, 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(directory, "log")
	configuration := strings.NewReplacer(
		"/etc/radsecproxy", directory, "127.0.0.1:11812", udp, "asp1.example.com", host, "2083", port,
		"/var/log/radsecproxy.log", log, "what-vpn1-and-the-proxy-share", shared,
	).Replace(page(t, "conf"))
	file := filepath.Join(directory, "radsecproxy.conf")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, proxy, "-f", "-c", file)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if content, err := os.ReadFile(log); t.Failed() && err == nil {
			t.Logf("radsecproxy: %s%s", content, output.String())
		}
	})
	// It is ready soon; until then radclient asks again.
	at := []string{"127.0.0.1:1812", udp, "radclient -x", "radclient -x -r 30 -t 1"}
	if out, ok := radclient(t, at...); !ok || !strings.Contains(out, "Received Access-Accept") || !strings.Contains(out, "Class = 0x7465676174613a") {
		t.Errorf("login: %s", out)
	}
	if out, ok := radclient(t, append(at, goodPassword, "wrong")...); ok || !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("wrong password: %s", out)
	}
	if out, ok := radclient(t, append(at, " auth ", " acct ", "Message-Authenticator = 0x00", "Acct-Status-Type = Start\nAcct-Session-Id = \"a\"", "User-Password", "Reply-Message")...); !ok ||
		!strings.Contains(out, "Received Accounting-Response") {
		t.Errorf("accounting: %s", out)
	}
	l.counted("access-request accepted", 1)
	l.counted("access-request rejected", 1)
	l.counted("accounting-request answered", 1)
}

func freePort(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it is to be free
	return conn.LocalAddr().String()
}

package forwardauth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// patience is how long a test waits for what is sure to happen.
const patience = 30 * time.Second

// person is the address that requests come from; the gateway asks from 127.0.0.1.
const person = "127.0.0.2"

// host is the application's in the docs.
const host = "app.example.com"

// gateway is a real one, as a page of the docs configures it, between a person and an application.
type gateway struct {
	relay *relay
	app   *application
	// url names a host that is at address only for the tests.
	url, address string
	roots        *x509.CertPool
}

// application tells what reached it.
type application struct {
	mu   sync.Mutex
	seen []*http.Request
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.seen = append(a.seen, r)
	a.mu.Unlock()
	_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
}

// requests are those so far.
func (a *application) requests() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen
}

// kind is a program that is a gateway.
type kind struct {
	program, debianPackage string
	page, language         string
	// replace are addresses and files in the page, and what stands for them in the test.
	replace func(g *testGround) map[string]string
	// command runs it with the configuration from the page.
	command func(g *testGround, config string) *exec.Cmd
}

// testGround is what a gateway is given.
type testGround struct {
	dir, listen, site, tegata, app, cert, key string
}

var kinds = map[string]kind{
	"nginx": {
		program: "nginx", debianPackage: "nginx-light", page: "nginx.md", language: "nginx",
		replace: func(g *testGround) map[string]string {
			return map[string]string{
				"listen 443 ssl": "listen " + g.listen + " ssl", "127.0.0.1:8295": g.tegata, "127.0.0.1:3000": g.app,
				"/etc/nginx/tls/app.crt": g.cert, "/etc/nginx/tls/app.key": g.key,
			}
		},
		command: func(g *testGround, config string) *exec.Cmd {
			main := fmt.Sprintf("daemon off; master_process off; error_log stderr; pid %[1]s/pid;\nevents {}\nhttp {\naccess_log off;\n"+
				"client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%[2]s\n}\n", g.dir, config)
			file := filepath.Join(g.dir, "nginx.conf")
			if err := os.WriteFile(file, []byte(main), 0o600); err != nil {
				panic(err)
			}
			return exec.Command("nginx", "-p", g.dir, "-e", "stderr", "-c", file)
		},
	},
	"caddy": {
		program: "caddy", debianPackage: "caddy", page: "caddy.md", language: "caddyfile",
		replace: func(g *testGround) map[string]string {
			return map[string]string{
				"app.example.com {": g.site + " {", "127.0.0.1:8295": g.tegata, "127.0.0.1:3000": g.app,
				"/etc/caddy/tls/app.crt": g.cert, "/etc/caddy/tls/app.key": g.key,
			}
		},
		command: func(g *testGround, config string) *exec.Cmd {
			file := filepath.Join(g.dir, "Caddyfile")
			if err := os.WriteFile(file, []byte("{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n"+config), 0o600); err != nil {
				panic(err)
			}
			cmd := exec.Command("caddy", "run", "--config", file, "--adapter", "caddyfile")
			cmd.Env = append(os.Environ(), "HOME="+g.dir, "XDG_DATA_HOME="+g.dir, "XDG_CONFIG_HOME="+g.dir)
			return cmd
		},
	},
}

// eachGateway runs a test behind each of them, with a relay of its own.
func eachGateway(t *testing.T, test func(*testing.T, *gateway)) {
	t.Helper()
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) { test(t, k.start(t)) })
	}
}

func (k kind) start(t *testing.T) *gateway {
	t.Helper()
	if _, err := exec.LookPath(k.program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: install Debian's %s", err, k.debianPackage)
		}
		t.Skipf("NOT TESTED: there is no %s; install Debian's %s", k.program, k.debianPackage)
	}
	g := &gateway{relay: newRelay(t), app: &application{}}
	handler := NewHandler(g.relay, Options{MaxWaiting: 64, Metrics: NewMetrics(prometheus.NewRegistry()), CertificateHeader: "X-Tegata-Client-Cert"})
	ground := &testGround{dir: t.TempDir(), listen: freeAddress(t), tegata: listen(t, handler), app: listen(t, g.app)}
	ground.cert, ground.key, g.roots = serverCertificate(t, ground.dir)
	_, port, _ := net.SplitHostPort(ground.listen)
	ground.site = host + ":" + port
	g.url, g.address = "https://"+ground.site, ground.listen
	run(t, k.command(ground, k.configuration(t, ground)), ground.listen)
	return g
}

// configuration is what the page prints, at other addresses.
func (k kind) configuration(t *testing.T, g *testGround) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("../../../docs", k.page))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```" + k.language + "\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatalf("docs/%s has no block of %s", k.page, k.language)
	}
	config := string(block[1])
	for from, to := range k.replace(g) {
		if !strings.Contains(config, from) {
			t.Fatalf("docs/%s does not say %q", k.page, from)
		}
		config = strings.ReplaceAll(config, from, to)
	}
	return config
}

func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it is to be free
	return l.Addr().String()
}

// run runs a program until the test ends, and waits until it listens.
func run(t *testing.T, cmd *exec.Cmd, address string) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var why error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		why = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Path, out.String())
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %v\n%s", cmd.Path, why, out.String())
		default:
		}
	}
	t.Fatalf("%s does not listen", cmd.Path)
}

func serverCertificate(t *testing.T, dir string) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, roots = filepath.Join(dir, "app.crt"), filepath.Join(dir, "app.key"), x509.NewCertPool()
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots.AppendCertsFromPEM(certPEM)
	err = errors.Join(os.WriteFile(cert, certPEM, 0o600), os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, roots
}

// answer is what the person sees.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
}

// cookie is the session's, empty when none is set.
func (a answer) cookie() string {
	response := http.Response{Header: a.header}
	for _, c := range response.Cookies() {
		if c.Name == "__Host-tegata-session" {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// send is one request of the person's, over a connection of its own, with "Name: value" headers.
func (g *gateway) send(t *testing.T, method, path, body string, certificates []tls.Certificate, headers ...string) answer {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: g.roots, Certificates: certificates, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(person)}}).DialContext(ctx, network, g.address)
		},
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header[name] = append(request.Header[name], value) // as it is spelled
	}
	start := time.Now()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(read), took: time.Since(start)}
}

func (g *gateway) get(t *testing.T, headers ...string) answer {
	t.Helper()
	return g.send(t, http.MethodGet, "/page?x=y", "", nil, headers...)
}

// login is that of the application's own page.
func (g *gateway) login(t *testing.T, body string) answer {
	t.Helper()
	return g.send(t, http.MethodPost, "/v1/auth/login", body, nil,
		"Content-Type: application/json", "Origin: "+g.url, "Sec-Fetch-Site: same-origin")
}

// mustLogin is the cookie of a login.
func (g *gateway) mustLogin(t *testing.T, body string) string {
	t.Helper()
	got := g.login(t, body)
	if got.status != http.StatusOK || got.cookie() == "" {
		t.Fatalf("login: %+v", got)
	}
	return got.cookie()
}

// wantPassed checks that one request has reached the application, and returns it.
func (g *gateway) wantPassed(t *testing.T, got answer, before int) *http.Request {
	t.Helper()
	all := g.app.requests()
	if got.status != http.StatusOK || len(all) != before+1 {
		t.Fatalf("%d requests have reached the application, want one: %+v", len(all)-before, got)
	}
	return all[len(all)-1]
}

// wantDenied checks that a request has not reached the application, and that the person sees the uniform denial.
func (g *gateway) wantDenied(t *testing.T, got answer, before int, heldBack bool) {
	t.Helper()
	if n := len(g.app.requests()); n != before {
		t.Errorf("%d requests have reached the application", n-before)
	}
	var body struct {
		Type, Title, Detail, CorrelationID string
		Status, Code                       int
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	if got.status != http.StatusUnauthorized || body.Status != 401 || body.Code != 293 || len(body.CorrelationID) != 26 ||
		!strings.HasSuffix(body.Type, "/login-denied") || body.Title == "" || body.Detail == "" {
		t.Errorf("no uniform denial: %+v", got)
	}
	for name, want := range map[string]string{"Content-Type": "application/problem+json", "Www-Authenticate": "Tegata", "Cache-Control": "no-store"} {
		if values := got.header.Values(name); len(values) != 1 || values[0] != want {
			t.Errorf("%s: %q, want %q once", name, values, want)
		}
	}
	if heldBack != (got.took >= relayResponseTime) {
		t.Errorf("answered after %s, want held back: %v", got.took, heldBack)
	}
}

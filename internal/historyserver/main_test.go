package historyserver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/klog/v2"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	os.Exit(testenv.Run(m))
}

// began is when the attempts of the tests begin: a while ago, in whole seconds.
var began = time.Date(2026, 11, 15, 10, 17, 0, 0, time.UTC)

// made tells apart the records that are made of one moment.
var made byte

func idAt(t time.Time) history.ID {
	made++
	id := ulid.ULID{6: 1, 15: made}
	_ = id.SetTime(ulid.Timestamp(t))
	return id
}

func success(at time.Time, user string) history.Record {
	return history.Record{
		ID: idAt(at), UserName: strings.ToUpper(user), User: user, Program: "viewer", Viewer: "pc", Slot: "pc", Result: history.Success,
		Expire: history.At(at.Add(8 * time.Hour)), End: history.Logout, EndTime: history.At(at.Add(12*time.Minute + 23*time.Second)),
		SourceAddress: "192.0.2.7", MACAddress: "00:00:5e:00:53:01", Destination: "desk-7", Listener: "login", Sidecar: "asp1-0",
		ReceivedBytes: 1234, SentBytes: 5678,
	}
}

func failure(at time.Time, user, reason string) history.Record {
	return history.Record{
		ID: idAt(at), UserName: user, User: user, Program: "viewer", Viewer: "mobile", Slot: "mobile", Result: history.Failure,
		Reason: reason, SourceAddress: "2001:db8::1", Listener: "radius", Sidecar: "asp1-0", DeviceDigest: "k1:abc",
	}
}

// world is a history server behind a control plane.
type world struct {
	*testing.T
	env    *testenv.Env
	place  *testenv.Aggregated
	store  *memory
	served chan error
	stop   context.CancelFunc
	clock  atomic.Int64 // milliseconds
	next   atomic.Int64 // to number records by
	change func(*Config)
}

// newWorld has a server of its own, on the shared control plane: the API group is one, so such tests follow each other.
func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, func(*Config) {})
}

// newWorldOf is newWorld, of a server that is configured otherwise.
func newWorldOf(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{T: t, env: testenv.Shared(t), store: newMemory(), change: change}
	w.setNow(began.Add(24 * time.Hour))
	for _, file := range []string{"service_account", "role", "role_binding", "reader_role"} {
		if err := testenv.Apply(t.Context(), w.env.Client, "tegata-system", filepath.Join("..", "..", "config", "history", file+".yaml")); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if w.place, err = w.env.ControlPlane.Aggregate("tegata-system", "tegata-history"); err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(w.end)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.place.Register(ctx, w.env.Client, v1alpha1.GroupVersion); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) now() time.Time { return time.UnixMilli(w.clock.Load()) }

func (w *world) setNow(now time.Time) { w.clock.Store(now.UnixMilli()) }

// clocked has the API server's clock be that of the test.
type clocked struct {
	*RelayServers
	now func() time.Time
}

func (c clocked) Retentions(ctx context.Context) (map[types.NamespacedName]time.Duration, time.Time, error) {
	retentions, _, err := c.RelayServers.Retentions(ctx)
	return retentions, c.now(), err
}

// start starts the server as the service account of config/history.
func (w *world) start() {
	w.Helper()
	kubeconfig := filepath.Join(w.TempDir(), "kubeconfig")
	account := w.env.ServiceAccountConfig(w, "tegata-system", "tegata-history")
	if err := testenv.WriteKubeconfig(kubeconfig, account); err != nil {
		w.Fatal(err)
	}
	servers, err := NewRelayServers(account)
	if err != nil {
		w.Fatal(err)
	}
	serving := options.NewSecureServingOptions().WithLoopback()
	serving.BindAddress, serving.BindPort = net.IPv4(127, 0, 0, 1), w.place.Port
	serving.ServerCert.CertKey = options.CertKey{CertFile: w.place.CertFile, KeyFile: w.place.KeyFile}
	authentication, authorization := options.NewDelegatingAuthenticationOptions(), options.NewDelegatingAuthorizationOptions()
	authentication.RemoteKubeConfigFile, authorization.RemoteKubeConfigFile = kubeconfig, kubeconfig
	config := &Config{
		Store: w.store, Serving: serving, Authentication: authentication, Authorization: authorization,
		Audiences:  []string{"tegata-history", "https://kubernetes.default.svc"},
		Retentions: clocked{servers, w.now}, DefaultRetention: 8760 * time.Hour,
		Registry: prometheus.NewRegistry(), Log: logr.Discard(), Now: w.now,
	}
	w.change(config)
	server, err := New(config)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.served = cancel, make(chan error, 1)
	go func() { w.served <- server.Run(ctx) }()
	testenv.Eventually(w, 20*time.Second, func() error { return w.healthy("/readyz") })
}

func (w *world) end() {
	w.stop()
	if err := <-w.served; err != nil {
		w.Error(err)
	}
}

// client speaks with the server itself, by a certificate or by none.
func (w *world) client(certificates ...tls.Certificate) *http.Client {
	pem, err := os.ReadFile(w.place.CAFile)
	if err != nil {
		w.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: certificates}, ForceAttemptHTTP2: true,
	}
	w.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// certificate is one by which the cluster knows a user.
func (w *world) certificate(user string, groups ...string) tls.Certificate {
	w.Helper()
	config, err := w.env.ControlPlane.UserConfig(user, groups...)
	if err != nil {
		w.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		w.Fatal(err)
	}
	return certificate
}

// counted is a metric's value, of the line that begins so.
func (w *world) counted(series string) float64 {
	w.Helper()
	_, text := w.ask(w.client(w.certificate("admin", "system:masters")), http.MethodGet, "/metrics", nil, nil)
	for line := range strings.SplitSeq(text, "\n") {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				w.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// ask makes a request, and reads all that is answered.
func (w *world) ask(client *http.Client, method, path string, header http.Header, body []byte) (reply, string) {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), method, w.place.URL+path, bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return reply{response.StatusCode, response.Header.Get("Retry-After")}, string(text)
}

func (w *world) healthy(path string) error {
	response, err := w.client().Get(w.place.URL + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	return nil
}

// keep puts records of asp1 in a namespace.
func (w *world) keep(namespace string, records ...history.Record) {
	w.Helper()
	for i := range records {
		records[i].Namespace, records[i].Server = namespace, "asp1"
	}
	if _, err := w.store.Put(w.Context(), records); err != nil {
		w.Fatal(err)
	}
}

// kubectl runs kubectl as the administrator.
func (w *world) kubectl(args ...string) string {
	w.Helper()
	out, errs, err := w.env.Kubectl(w, "", args...)
	if err != nil {
		w.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return out
}

// refused is what kubectl says when it fails.
func (w *world) refused(args ...string) string {
	w.Helper()
	out, errs, err := w.env.Kubectl(w, "", args...)
	if err == nil {
		w.Fatalf("kubectl %s succeeds:\n%s", strings.Join(args, " "), out)
	}
	return errs
}

// bind gives a user or a service account a ClusterRole in a namespace.
func (w *world) bind(namespace, role string, subject rbacv1.Subject) {
	w.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "test-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{subject},
	}
	if err := w.env.Client.Create(w.Context(), binding); err != nil {
		w.Fatal(err)
	}
}

// stranger is a certificate of an authority that nobody knows.
func stranger(t *testing.T, user string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: user}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

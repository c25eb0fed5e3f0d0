package radius

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/session"
)

const overTLS = "radsec"

// authority issues the certificates of a test.
type authority struct {
	t           *testing.T
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.certificate = &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	issued := a.issue(a.certificate)
	var err error
	if a.certificate, err = x509.ParseCertificate(issued.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) issue(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.key == nil {
		a.key = key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// named issues the certificate of a host.
func (a *authority) named(names ...string) tls.Certificate {
	return a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// write stores a certificate and its key as PEM.
func (a *authority) write(directory string, c tls.Certificate, certificate, key string) {
	a.t.Helper()
	for name, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: nil} {
		if block == nil {
			der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
			if err != nil {
				a.t.Fatal(err)
			}
			block = &pem.Block{Type: "PRIVATE KEY", Bytes: der}
		}
		if err := os.WriteFile(filepath.Join(directory, name), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

// serveTLS serves RADIUS over TLS until the test ends, and returns its address.
func (l *lab) serveTLS(a *authority, maxConnections int) string {
	l.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{a.named("asp1.example.com")},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.handler.ServeRadSec(ctx, listener, config, maxConnections) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	})
	return listener.Addr().String()
}

// gatewayTLS is a connection of a NAS over TLS.
type gatewayTLS struct {
	t *testing.T
	*tls.Conn
}

func (l *lab) dialTLS(address string, a *authority, certificates ...tls.Certificate) (*gatewayTLS, error) {
	l.t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: a.pool(), ServerName: "asp1.example.com", Certificates: certificates})
	if err != nil {
		return nil, err
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	return &gatewayTLS{l.t, conn}, conn.SetDeadline(time.Now().Add(patience))
}

func (g *gatewayTLS) next() ([]byte, error) {
	header := make([]byte, 4)
	if _, err := io.ReadFull(g, header); err != nil {
		return nil, err
	}
	rest := make([]byte, int(binary.BigEndian.Uint16(header[2:]))-4)
	_, err := io.ReadFull(g, rest)
	return append(header, rest...), err
}

// ask sends a request and reads the answer, whose every proof is made with the secret that all share over TLS.
func (g *gatewayTLS) ask(raw []byte) *radius.Packet {
	g.t.Helper()
	if _, err := g.Write(raw); err != nil {
		g.t.Fatal(err)
	}
	reply, err := g.next()
	if err != nil {
		g.t.Fatal(err)
	}
	p, err := checkReply(reply, raw, []byte(overTLS))
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

func TestOverTLS(t *testing.T) {
	l, a := newLab(t), newAuthority(t)
	g, err := l.dialTLS(l.serveTLS(a, 8), a, a.named("vpn.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	if reply := g.ask(build(radius.CodeStatusServer, sharing(overTLS))); reply.Code != radius.CodeAccessAccept {
		t.Errorf("Status-Server is answered %v", reply.Code)
	}
	// TLS keeps requests from being tampered with: they need not be signed.
	accept := g.ask(login(goodPassword, sharing(overTLS), unsignedRequest, with(rfc2866.AcctSessionID_Type, "acct-1"), with(rfc2865.NASIdentifier_Type, "vpn-1")))
	class := rfc2865.Class_GetString(accept)
	if accept.Code != radius.CodeAccessAccept || class == "" {
		t.Fatalf("login is answered %v, Class %q", accept.Code, class)
	}
	if reply := g.ask(account(statusStart, "acct-1", class, sharing(overTLS))); reply.Code != radius.CodeAccountingResponse {
		t.Errorf("Start is answered %v", reply.Code)
	}
	if reply := g.ask(login("wrong", sharing(overTLS))); reply.Code != radius.CodeAccessReject {
		t.Errorf("a wrong password is answered %v", reply.Code)
	}
	// No Disconnect-Request goes over TLS, and that is told.
	l.connections.mu.Lock()
	live := l.connections.bySession[sessionIn(class)].live
	l.connections.mu.Unlock()
	l.End(live, session.Refused)
	l.disconnected("unreachable", 1)
}

// TestAnswersDoNotWaitForEachOther: one reject that is held back keeps nobody waiting on the same connection.
func TestAnswersDoNotWaitForEachOther(t *testing.T) {
	l, a := newLab(t), newAuthority(t)
	l.change(func() { l.shape.ResponseTime = 500 * time.Millisecond })
	g, err := l.dialTLS(l.serveTLS(a, 8), a, a.named("vpn.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	denied := login("wrong", sharing(overTLS), withID(1))
	if _, err := g.Write(denied); err != nil {
		t.Fatal(err)
	}
	if reply := g.ask(login(goodPassword, sharing(overTLS), withID(2))); reply.Code != radius.CodeAccessAccept {
		t.Errorf("answered %v", reply.Code)
	}
	raw, err := g.next()
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := checkReply(raw, denied, []byte(overTLS)); err != nil || reply.Code != radius.CodeAccessReject {
		t.Errorf("answered %v, %v", reply, err)
	}
}

// TestCertificatesAreAskedFor: nobody is served but who shows one that the authority issued to a client.
func TestCertificatesAreAskedFor(t *testing.T) {
	l, a := newLab(t), newAuthority(t)
	address := l.serveTLS(a, 8)
	for name, certificates := range map[string][]tls.Certificate{
		"none":                 nil,
		"of another authority": {newAuthority(t).named("vpn.example.com")},
		"of nobody":            {a.named("other.example.com")},
		"by its common name":   {a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "vpn.example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})},
		"of a server only": {a.issue(&x509.Certificate{
			DNSNames: []string{"vpn.example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})},
	} {
		g, err := l.dialTLS(address, a, certificates...)
		if err != nil {
			continue
		}
		// In TLS 1.3 the refusal is told when something is read.
		_, _ = g.Write(login(goodPassword, sharing(overTLS)))
		if reply, err := g.next(); err == nil {
			t.Errorf("certificate %s: answered %x", name, reply)
		}
	}
	if n := len(l.asked()); n != 0 {
		t.Errorf("%d attempts", n)
	}
	// And who was one, is one no more when the relay does not name it.
	g, err := l.dialTLS(address, a, a.named("vpn.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	g.ask(login(goodPassword, sharing(overTLS)))
	spec := testSpec()
	spec.Clients[0].CertificateName = "another.example.com"
	l.setSpec(spec)
	_, _ = g.Write(login(goodPassword, sharing(overTLS)))
	if reply, err := g.next(); err == nil {
		t.Errorf("answered %x", reply)
	}
}

// TestBrokenStreamsAreClosed: after what is no packet nothing can be told apart.
func TestBrokenStreamsAreClosed(t *testing.T) {
	l, a := newLab(t, requiring(v1alpha1.MessageAuthenticatorAlways)), newAuthority(t)
	address := l.serveTLS(a, 8)
	for name, raw := range map[string][]byte{
		"HTTP":           []byte("GET / HTTP/1.1\r\nHost: relay\r\n\r\n"),
		"too short":      {1, 2, 0, 19, 0},
		"too long":       {1, 2, 0xff, 0xff, 0},
		"not authentic":  login(goodPassword, sharing("another-secret-of-somebody")),
		"the UDP secret": account(statusStart, "a", ""),
	} {
		g, err := l.dialTLS(address, a, a.named("vpn.example.com"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Write(raw); err != nil {
			t.Fatal(err)
		}
		if reply, err := g.next(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, answered %x; want the connection closed", name, err, reply)
		}
	}
	if n := len(l.asked()); n != 0 {
		t.Errorf("%d attempts", n)
	}
}

func TestConnectionsOverTLSAreBounded(t *testing.T) {
	l, a := newLab(t), newAuthority(t)
	address := l.serveTLS(a, 2)
	certificate := a.named("vpn.example.com")
	var open []*gatewayTLS
	for range 2 {
		g, err := l.dialTLS(address, a, certificate)
		if err != nil {
			t.Fatal(err)
		}
		g.ask(login(goodPassword, sharing(overTLS)))
		open = append(open, g)
	}
	if g, err := l.dialTLS(address, a, certificate); err == nil {
		if _, err := g.next(); err == nil {
			t.Error("a third connection is served")
		}
	}
	_ = open[0].Close()
	l.eventually(func() error {
		g, err := l.dialTLS(address, a, certificate)
		if err == nil {
			g.ask(login(goodPassword, sharing(overTLS)))
		}
		return err
	})
}

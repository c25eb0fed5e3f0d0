package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

// TestClientCertificatesAreAskedFor as the flags have it. What comes of them is the listener's affair.
func TestClientCertificatesAreAskedFor(t *testing.T) {
	serverCert, serverKey := certificateFiles(t, t.TempDir(), "relay")
	ownCert, ownKey := certificateFiles(t, t.TempDir(), "own")
	otherCert, otherKey := certificateFiles(t, t.TempDir(), "other")
	for name, tc := range map[string]struct {
		ask       bool
		ca        string
		cert, key string // of the client, empty for none
		want      string // that the handler saw, empty when the handshake fails
	}{
		"not asked, not shown": {want: "none"},
		"not asked, but had":   {cert: ownCert, key: ownKey, want: "none"},
		"asked, not shown":     {ask: true, want: "none"},
		"asked and shown":      {ask: true, cert: ownCert, key: ownKey, want: "own"},
		"of the authority":     {ask: true, ca: ownCert, cert: ownCert, key: ownKey, want: "own"},
		"of another authority": {ask: true, ca: ownCert, cert: otherCert, key: otherKey},
		"authority, not shown": {ask: true, ca: ownCert, want: "none"},
	} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			o := &options{
				loginAddress: address, tlsCert: serverCert, tlsKey: serverKey, maxConnections: 16,
				clientCertificates: tc.ask, clientCA: tc.ca,
			}
			start(t, func(ctx context.Context) error {
				return serveLogins(ctx, o, http.HandlerFunc(tellCertificate), logr.Discard())
			})
			eventually(t, expectName(address, "relay"))
			for range 2 { // the second connection has a ticket to resume the first, if there was one
				got, err := certificateSeen(t, address, tc.cert, tc.key)
				if !tc.ask {
					got = strings.TrimSuffix(got, ", resumed") // as it may be
				}
				if (err == nil) != (tc.want != "") || got != tc.want {
					t.Errorf("saw %q, %v; want %q", got, err, tc.want)
				}
			}
		})
	}
}

func tellCertificate(w http.ResponseWriter, r *http.Request) {
	name := "none"
	if len(r.TLS.PeerCertificates) > 0 {
		name = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	if r.TLS.DidResume {
		name += ", resumed"
	}
	_, _ = io.WriteString(w, name)
}

// tickets are those of all connections of the tests to one address.
var tickets = tls.NewLRUClientSessionCache(64)

func certificateSeen(t *testing.T, address, cert, key string) (string, error) {
	t.Helper()
	//nolint:gosec // the server's certificate does not matter here
	config := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tickets, ServerName: address}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		// Whatever authorities the server names: a client may show what it likes.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Get(fmt.Sprintf("https://%s/", address))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

package extauthz

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/clientaddr"
	"github.com/tegata-dev/tegata/internal/fingerprint"
)

// origin is where a request comes from.
type origin struct {
	// source is the person's address; the zero value when it is not known.
	source netip.Addr
	// trusted says that a trusted proxy tells of the request, so that its word on certificates counts.
	trusted bool
}

// origin believes what a CheckRequest says if a trusted proxy sent it. Of any other caller no more is known than
// the address that it calls from.
func (c *checker) origin(ctx context.Context, r *request) origin {
	var proxies []netip.Prefix
	if policy := c.service.Policy(); policy != nil {
		proxies = policy.TrustedProxies
	}
	caller := callerOf(ctx)
	if !clientaddr.Trusted(proxies, caller) {
		c.fewCallers.Do(func() {
			c.log.Info("The caller is none of RelayServer spec.trustedProxies: addresses and certificates that it tells are not believed", "caller", caller.String())
		})
		return origin{source: clientaddr.Of(caller, nil, nil)}
	}
	address := r.peer()
	if !clientaddr.Trusted(proxies, address) {
		return origin{source: clientaddr.Of(address, nil, nil), trusted: true}
	}
	return origin{source: clientaddr.Of(address, r.texts(forwardedFor), proxies), trusted: true}
}

// callerOf is the address of the other end of the connection.
func callerOf(ctx context.Context) netip.Addr {
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return netip.Addr{}
	}
	told := caller.Addr
	if own, ok := told.(*callerAddr); ok {
		told = own.Addr
	}
	address, ok := told.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return address.AddrPort().Addr()
}

// attempt is the login that a request shows by Basic, without listener, source, id and time.
func (r *request) attempt(from origin) (*authn.Attempt, error) {
	user, password, _ := bearer.Basic(r.text(authorization))
	login := bearer.Login{User: user, Password: password, Device: r.text(deviceHeader), Viewer: r.text(viewerHeader)}
	if from.trusted && len(r.certificate) > 0 {
		f, err := certificateOf(string(r.certificate))
		if err != nil {
			return nil, err
		}
		login.Certificate = &f
	}
	return login.Attempt()
}

var (
	errCertificate     = errors.New("the certificate that the gateway tells cannot be read")
	errCertificateTime = errors.New("the client certificate is not valid at this time")
)

// certificateOf is the fingerprint of the certificate that Envoy tells: PEM, URL-encoded. That its holder has the
// key Envoy has seen.
func certificateOf(encoded string) (fingerprint.Fingerprint, error) {
	// Of a plus sign, which base64 has, QueryUnescape would make a space.
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return fingerprint.Fingerprint{}, errCertificate
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return fingerprint.Fingerprint{}, errCertificate
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fingerprint.Fingerprint{}, errCertificate
	}
	// Envoy may have been told to ask for no more than that there is one.
	if now := time.Now(); now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return fingerprint.Fingerprint{}, errCertificateTime
	}
	return fingerprint.FromPublicKey(sha256.Sum256(certificate.RawSubjectPublicKeyInfo)), nil
}

package forwardauth

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

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

// origin believes what the headers say of addresses if a trusted proxy sent them, and only what one wrote.
func (h *handler) origin(r *http.Request) origin {
	var proxies []netip.Prefix
	if policy := h.service.Policy(); policy != nil {
		proxies = policy.TrustedProxies
	}
	peer := clientaddr.Peer(r.RemoteAddr)
	return origin{
		source:  clientaddr.Of(peer, r.Header["X-Forwarded-For"], proxies),
		trusted: clientaddr.Trusted(proxies, peer),
	}
}

var (
	errCertificate     = errors.New("the certificate that the gateway tells cannot be read")
	errCertificateTime = errors.New("the client certificate is not valid at this time")
)

// certificate is the fingerprint of the client certificate that a trusted proxy tells of, nil when it tells none.
// That the device has its key the proxy has seen.
func (h *handler) certificate(r *http.Request) (*fingerprint.Fingerprint, error) {
	if h.certificateHeader == "" || !h.origin(r).trusted {
		return nil, nil
	}
	told := r.Header[h.certificateHeader]
	if len(told) == 0 || (len(told) == 1 && told[0] == "") {
		return nil, nil
	}
	if len(told) > 1 {
		return nil, errCertificate // the client may have written one of them
	}
	der, err := certificateBytes(told[0])
	if err != nil {
		return nil, errCertificate
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errCertificate
	}
	// The gateway may have asked for no more than that there is one.
	if now := time.Now(); now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return nil, errCertificateTime
	}
	return new(fingerprint.FromPublicKey(sha256.Sum256(certificate.RawSubjectPublicKeyInfo))), nil
}

// certificateBytes reads what gateways write: PEM, URL-encoded (nginx), or the base64 of DER (Caddy), which
// Traefik URL-encodes and may have the chain follow after a comma.
func certificateBytes(told string) ([]byte, error) {
	// Of a plus sign, which base64 has, QueryUnescape would make a space.
	text, err := url.PathUnescape(told)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(text, "-----BEGIN ") {
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errCertificate
		}
		return block.Bytes, nil
	}
	leaf, _, _ := strings.Cut(text, ",")
	return base64.StdEncoding.DecodeString(leaf)
}

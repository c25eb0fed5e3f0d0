package login

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/clientaddr"
	"github.com/tegata-dev/tegata/internal/fingerprint"
)

var errCertificateTime = errors.New("the client certificate is not valid at this time")

// readCertificate takes the key of a client certificate, which has signed the handshake, for the device's.
// Who issued it is for the TLS configuration to ask. A trusted proxy's certificate is the proxy's own.
func (h *handler) readCertificate(r *http.Request, a *authn.Attempt) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return
	}
	if clientaddr.Trusted(h.policy().TrustedProxies, clientaddr.Peer(r.RemoteAddr)) {
		return
	}
	// The connection may be older than the certificate's end.
	leaf, now := r.TLS.PeerCertificates[0], time.Now()
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		a.Proven = func() error { return errCertificateTime }
		return
	}
	device := fingerprint.FromPublicKey(sha256.Sum256(leaf.RawSubjectPublicKeyInfo))
	a.Fingerprint = &device
}

package login

import (
	"net/http"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/clientaddr"
	"github.com/tegata-dev/tegata/internal/clientcert"
)

// readCertificate takes the key of a client certificate, which has signed the handshake, for the device's.
// Who issued it is for the TLS configuration to ask. A trusted proxy's certificate is the proxy's own.
func (h *handler) readCertificate(r *http.Request, a *authn.Attempt) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return
	}
	if clientaddr.Trusted(h.policy().TrustedProxies, clientaddr.Peer(r.RemoteAddr)) {
		return
	}
	device, err := clientcert.Fingerprint(r.TLS.PeerCertificates[0])
	if err != nil {
		a.Proven = func() error { return err }
		return
	}
	a.Fingerprint = &device
}

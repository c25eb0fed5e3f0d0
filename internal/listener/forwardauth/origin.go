package forwardauth

import (
	"net/http"
	"net/netip"

	"github.com/tegata-dev/tegata/internal/clientaddr"
	"github.com/tegata-dev/tegata/internal/clientcert"
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
		return nil, clientcert.ErrMalformed // the client may have written one of them
	}
	f, err := clientcert.Forwarded(told[0])
	if err != nil {
		return nil, err
	}
	return &f, nil
}

package extauthz

import (
	"context"
	"net"
	"net/netip"

	"google.golang.org/grpc/peer"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/clientaddr"
	"github.com/tegata-dev/tegata/internal/clientcert"
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
		f, err := clientcert.Forwarded(string(r.certificate)) // of whose key Envoy has seen that the device has it
		if err != nil {
			return nil, err
		}
		login.Certificate = &f
	}
	return login.Attempt()
}

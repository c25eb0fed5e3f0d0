package login

import (
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds how far back X-Forwarded-For is read; no real chain of proxies is as long.
const maxHops = 32

// source is the person's address: the connection's, or, when that is a trusted proxy's, the last one in
// X-Forwarded-For that is none. Where that cannot be read the address is not known, rather than a proxy's,
// which a user's networks may well permit.
func (h *handler) source(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := plain(peer.Addr())
	policy := h.service.Policy()
	if policy == nil {
		return address
	}
	// Repeated headers make one list, in their order (RFC 9110, section 5.3).
	chain := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	for range maxHops {
		if !trusted(policy.TrustedProxies, address) || strings.TrimSpace(chain) == "" {
			return address
		}
		comma := strings.LastIndexByte(chain, ',')
		hop, ok := parseHop(chain[comma+1:])
		if !ok {
			return netip.Addr{}
		}
		address, chain = hop, chain[:max(comma, 0)]
	}
	return address
}

// parseHop reads what proxies write: an address, for IPv6 also in brackets, and with a port or without.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return plain(withPort.Addr()), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if s, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
	}
	address, err := netip.ParseAddr(s)
	return plain(address), err == nil
}

// plain makes one address of its spellings: IPv4 in IPv6, and with a zone, which means something on the
// proxy's machine only.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func trusted(proxies []netip.Prefix, address netip.Addr) bool {
	for _, p := range proxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

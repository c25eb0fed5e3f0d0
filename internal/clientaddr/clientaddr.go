// Package clientaddr finds the address of the person behind a connection.
//
// It owns the belief in X-Forwarded-For: only what a trusted proxy wrote is believed. It must not read any
// other header, and must not answer with a proxy's address where the person's cannot be told.
package clientaddr

import (
	"net/netip"
	"strings"
)

// maxHops bounds how far back X-Forwarded-For is read; no real chain of proxies is as long.
const maxHops = 32

// Of is the person's address: the connection's, or, when that is a trusted proxy's, the last one in
// X-Forwarded-For, whose values are given in their order, that is none. Where that cannot be read the
// address is not known, rather than a proxy's, which a user's networks may well permit; it is the zero
// value then.
func Of(peer netip.Addr, forwardedFor []string, proxies []netip.Prefix) netip.Addr {
	address := plain(peer)
	// Repeated headers make one list, in their order (RFC 9110, section 5.3).
	chain := strings.Join(forwardedFor, ",")
	for range maxHops {
		if !Trusted(proxies, address) || strings.TrimSpace(chain) == "" {
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

// Peer is the address of a connection's other end, as net/http tells it; the zero value when it is none.
func Peer(remoteAddr string) netip.Addr {
	peer, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(peer.Addr())
}

// parseHop reads what proxies write: an address, for IPv6 also in brackets, and with a port or without.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if address, err := netip.ParseAddr(s); err == nil { // as most write it
		return plain(address), true
	}
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return plain(withPort.Addr()), true
	}
	inner, begins := strings.CutPrefix(s, "[")
	inner, ends := strings.CutSuffix(inner, "]")
	if !begins || !ends {
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(inner)
	return plain(address), err == nil
}

// plain makes one address of its spellings: IPv4 in IPv6, and with a zone, which means something on the
// proxy's machine only.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Trusted says whether an address is one of the proxies'.
func Trusted(proxies []netip.Prefix, address netip.Addr) bool {
	address = plain(address)
	for _, p := range proxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

package main

import (
	"context"
	"net/http"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/httpserver"
)

// forwardedHeaderBytes bounds the header of what gateways ask: that of the request that they ask about, and a
// client certificate.
const forwardedHeaderBytes = 64 << 10

// forwardAuthWaiting leaves half of the connections to sessions that are admitted.
func (o *options) forwardAuthWaiting() int { return o.maxConnections / 2 }

// serveForwardAuth has connections of its own, so that a flood of logins leaves it alone, and the other way round.
func serveForwardAuth(ctx context.Context, o *options, h http.Handler, log logr.Logger) error {
	return serveHTTP(ctx, o, o.forwardAuthAddress, httpserver.Options{
		Name: "forward auth", Handler: h, MaxConnections: o.maxConnections, MaxHeaderBytes: forwardedHeaderBytes, Log: log,
	})
}

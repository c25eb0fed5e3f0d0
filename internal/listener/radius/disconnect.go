package radius

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"
)

// disconnecting is how many connections are being ended at a time. A NAS that does not answer holds one of them up
// for as long as all its tries take.
const disconnecting = 32

// errorCauseNoSession is the Error-Cause "Session Context Not Found" (RFC 5176, section 3.5).
const errorCauseNoSession = 503

// Run ends connections until ctx ends.
func (c *Connections) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range disconnecting {
		wg.Go(func() {
			for {
				select {
				case found := <-c.queue:
					c.end(ctx, found)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
}

// end has a NAS end one connection, and logs and counts what came of it.
func (c *Connections) end(ctx context.Context, found *connection) {
	r, overTLS := c.take(found)
	log := c.Log.WithValues("session", r.sessionID, "client", r.client, "nas", r.from.Addr().String())
	e, cause, err := c.tell(ctx, r, overTLS)
	c.Metrics.disconnects[e].Inc()
	switch e {
	case acknowledged:
		log.Info("Connection was ended by a Disconnect-Request")
	case unknownThere:
		log.Info("Connection had ended before a Disconnect-Request")
	case refused:
		log.Info("Gateway refuses to end a connection whose session is over", "errorCause", cause)
	case unnamed:
		log.Info("Connection cannot be ended: its gateway has told no Acct-Session-Id; have it send accounting here")
	case unreachable:
		log.Info("Connection cannot be ended: its gateway takes no Disconnect-Request")
	default:
		if ctx.Err() == nil {
			log.Error(err, "Gateway does not answer a Disconnect-Request; the connection may go on although its session is over")
		}
	}
}

func (c *Connections) tell(ctx context.Context, r report, overTLS bool) (ending, uint32, error) {
	if !r.named() {
		return unnamed, 0, nil
	}
	table := c.Clients()
	if table == nil || overTLS {
		return unreachable, 0, nil
	}
	client := table.ByAddress(r.from.Addr())
	if client == nil || client.DisconnectPort == 0 {
		return unreachable, 0, nil
	}
	request, err := disconnectRequest(r.naming, client.Secret(), time.Now())
	if err != nil {
		return unreachable, 0, err
	}
	return c.exchange(ctx, netip.AddrPortFrom(r.from.Addr(), client.DisconnectPort), request, client.Secret())
}

// disconnectRequest names a connection. The time keeps it from being replayed (RFC 5176, section 6.3).
func disconnectRequest(naming radius.Attributes, secret []byte, now time.Time) ([]byte, error) {
	var id [1]byte
	_, _ = rand.Read(id[:]) // crypto/rand.Read never fails
	attributes := append(radius.Attributes{
		{Type: rfc2869.EventTimestamp_Type, Attribute: radius.NewInteger(uint32(now.Unix()))},
	}, naming...)
	return seal(radius.CodeDisconnectRequest, id[0], [authenticatorBytes]byte{}, attributes, secret)
}

// exchange sends a request, the same bytes at each try, until it is answered. The socket is of its own: its port
// keeps requests apart, and takes packets of that gateway only.
func (c *Connections) exchange(ctx context.Context, to netip.AddrPort, request, secret []byte) (ending, uint32, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return unanswered, 0, err
	}
	defer conn.Close() //nolint:errcheck // nothing more is expected of it
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var lastErr error
	for _, patience := range c.Retry {
		deadline := time.Now().Add(patience)
		e, cause, err := try(conn, deadline, request, secret)
		if err == nil {
			return e, cause, nil
		}
		lastErr = err
		// That nobody listens is told at once. It may be otherwise when the gateway has started again.
		if !waitUntil(ctx, deadline) {
			break
		}
	}
	return unanswered, 0, lastErr
}

// try sends a request once and reads until there is a good answer to it.
func try(conn *net.UDPConn, deadline time.Time, request, secret []byte) (ending, uint32, error) {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return unanswered, 0, err
	}
	if _, err := conn.Write(request); err != nil {
		return unanswered, 0, err
	}
	buffer := make([]byte, maxPacketBytes+1)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return unanswered, 0, err
		}
		if e, cause, ok := readDisconnectReply(buffer[:n], request, secret); ok {
			return e, cause, nil
		}
	}
}

// waitUntil says whether ctx has outlived the time.
func waitUntil(ctx context.Context, deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// readDisconnectReply reads a Disconnect-ACK or -NAK, if it is one to this request by who shares the secret.
func readDisconnectReply(raw, request, secret []byte) (ending, uint32, bool) {
	o, err := look(raw)
	if err != nil {
		return 0, 0, false
	}
	raw = raw[:o.length]
	if raw[1] != request[1] || !authenticReply(raw, request, secret) {
		return 0, 0, false
	}
	if o.signature != 0 {
		want := signature(raw, o.signature, request[4:headerBytes], secret)
		if !hmac.Equal(want[:], raw[o.signature:o.signature+md5.Size]) {
			return 0, 0, false
		}
	}
	reply, err := radius.Parse(raw, secret)
	if err != nil {
		return 0, 0, false
	}
	switch reply.Code {
	case radius.CodeDisconnectACK:
		return acknowledged, 0, true
	case radius.CodeDisconnectNAK:
		cause, _ := radius.Integer(reply.Get(rfc3576.ErrorCause_Type))
		if cause == errorCauseNoSession {
			return unknownThere, cause, true
		}
		return refused, cause, true
	}
	return 0, 0, false
}

// authenticReply checks the Response Authenticator in constant time, which the codec's own check is not.
func authenticReply(reply, request, secret []byte) bool {
	hash := md5.New()
	hash.Write(reply[:4])
	hash.Write(request[4:headerBytes])
	hash.Write(reply[headerBytes:])
	hash.Write(secret)
	return hmac.Equal(hash.Sum(nil), reply[4:headerBytes])
}

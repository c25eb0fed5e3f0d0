package radius

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"layeh.com/radius"

	"github.com/tegata-dev/tegata/internal/nas"
)

const (
	// handshakeTime bounds a TLS handshake, packetTime the rest of a packet that has begun, and the sending of one.
	handshakeTime = 5 * time.Second
	packetTime    = 10 * time.Second
	// acceptPause is how long nothing is accepted when that failed.
	acceptPause = 100 * time.Millisecond
	// keepAlive is how soon it is noticed that a gateway is gone.
	keepAlive = 30 * time.Second
)

// ServeRadSec answers RADIUS over TLS (RFC 6614) until ctx ends, and then what is under way. The configuration has
// to ask for client certificates and to verify them: a gateway is known by a DNS name in its own. Further
// connections of gateways than maxConnections are closed at once; those of whom is not known yet are bounded apart.
func (h *Handler) ServeRadSec(ctx context.Context, l net.Listener, config *tls.Config, maxConnections int) error {
	s := &radSec{
		Handler: h, config: config, places: make(chan struct{}, maxConnections), open: map[net.Conn]struct{}{},
		door: &door{overTLS: true, received: newDuplicates(time.Now), underWay: &sync.WaitGroup{}, status: radius.CodeAccessAccept},
	}
	s.door.permits[kindAccess], s.door.permits[kindAccounting], s.door.permits[kindStatus] = true, true, true
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = l.Close()
		s.stopReading()
	})
	defer stop()
	err := s.acceptAll(lasting, l)
	if ctx.Err() != nil {
		err = nil
	}
	s.stopReading()
	s.readers.Wait()
	h.drain(s.door.underWay, cancel)
	s.closeAll()
	return err
}

// radSec is one listener over TLS.
type radSec struct {
	*Handler
	config     *tls.Config
	door       *door
	handshakes handshakes
	places     chan struct{} // for connections of gateways
	readers    sync.WaitGroup

	mu       sync.Mutex
	open     map[net.Conn]struct{}
	stopping bool
}

func (s *radSec) acceptAll(ctx context.Context, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept RADIUS connections: %w", err)
		}
		if err != nil { // such as too many open files, which mends itself
			s.few.Do(func() { s.Log.Error(err, "RADIUS connection could not be accepted") })
			waitUntil(ctx, time.Now().Add(acceptPause))
			continue
		}
		if !s.enter(conn) {
			_ = conn.Close()
			continue
		}
		s.handshakes.begin(conn)
		s.readers.Go(func() { s.serve(ctx, conn) })
	}
}

// enter keeps a connection, so that it can be closed, unless it is too late for it.
func (s *radSec) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[conn] = struct{}{}
	return !s.stopping
}

// stopReading ends the readers, and leaves the connections for the answers.
func (s *radSec) stopReading() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for conn := range s.open {
		_ = conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func (s *radSec) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		_ = conn.Close()
	}
}

// serve answers what comes over one connection. When a gateway hangs up, or sends what is no packet, nothing more
// can be told apart in what follows, and the connection is closed.
func (s *radSec) serve(ctx context.Context, raw net.Conn) {
	c := &tlsConnection{Conn: tls.Server(raw, s.config)}
	err := s.converse(ctx, c)
	s.mu.Lock()
	stopping := s.stopping
	if !stopping {
		delete(s.open, raw)
	}
	s.mu.Unlock()
	if stopping {
		return // answers may be under way
	}
	if !errors.Is(err, io.EOF) {
		s.few.Do(func() {
			s.Log.Info("RADIUS connection is closed", "source", raw.RemoteAddr().String(), "problem", err.Error())
		})
	}
	_ = raw.Close()
}

func (s *radSec) converse(ctx context.Context, c *tlsConnection) error {
	if tcp, ok := c.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive})
	}
	names, err := s.authenticate(ctx, c)
	if err != nil {
		return err
	}
	from, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return err
	}
	from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default:
		return errors.New("there are too many")
	}
	buffer := make([]byte, maxPacketBytes)
	for {
		packet, err := s.next(c, buffer)
		if err != nil {
			return err
		}
		// Anew for each packet: the gateway may not be a client any more.
		client := s.client(names)
		if client == nil {
			return errNoClient
		}
		if !s.receive(ctx, s.door, client, from, packet, c.send) {
			return errMalformed
		}
	}
}

var errNoClient = errors.New("no DNS name in the gateway's certificate is the certificateName of a client")

// authenticate finds the names of the gateway at the other end, which is a client.
func (s *radSec) authenticate(ctx context.Context, c *tlsConnection) (names []string, err error) {
	defer s.handshakes.end(c.NetConn())
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	certificates := c.ConnectionState().PeerCertificates
	if len(certificates) == 0 {
		return nil, errors.New("the gateway shows no certificate")
	}
	names = certificates[0].DNSNames
	if s.client(names) == nil {
		return nil, errNoClient
	}
	return names, nil
}

func (s *radSec) client(names []string) *nas.Client {
	if table := s.Clients(); table != nil {
		return table.ByCertificate(names)
	}
	return nil
}

// next reads one packet, which has its length in its header. It may be long in coming, but not once it has begun.
func (s *radSec) next(c *tlsConnection, buffer []byte) ([]byte, error) {
	if err := s.deadline(c, time.Time{}); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, buffer[:1]); err != nil {
		return nil, err
	}
	if err := s.deadline(c, time.Now().Add(packetTime)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, buffer[1:4]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(buffer[2:]))
	if length < headerBytes || length > maxPacketBytes {
		s.Metrics.packets[kindOf(buffer[0])][malformed].Inc()
		return nil, errMalformed
	}
	if _, err := io.ReadFull(c, buffer[4:length]); err != nil {
		return nil, err
	}
	return buffer[:length], nil
}

// deadline sets when reading is given up, unless it is already.
func (s *radSec) deadline(c *tlsConnection, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return io.EOF
	}
	return c.SetReadDeadline(at)
}

// tlsConnection has its answers written one after the other.
type tlsConnection struct {
	*tls.Conn
	mu sync.Mutex
}

// send gives up a connection that does not take an answer in time.
func (c *tlsConnection) send(reply []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.SetWriteDeadline(time.Now().Add(packetTime)); err != nil {
		return
	}
	if _, err := c.Write(reply); err != nil {
		_ = c.NetConn().Close()
	}
}

package extauthz

import (
	"context"
	"net"

	"google.golang.org/grpc/peer"

	"github.com/tegata-dev/tegata/internal/room"
)

// callers is a listener whose connections tell by their remote address which of them they are: that is all that gRPC
// hands on of a connection.
type callers struct{ *room.Listener }

// Accept waits for a connection.
func (l callers) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &callerConn{accepted, &callerAddr{accepted.RemoteAddr(), room.Of(accepted)}}, nil
}

type callerConn struct {
	net.Conn
	address *callerAddr
}

// RemoteAddr is the address of the other end.
func (c *callerConn) RemoteAddr() net.Addr { return c.address }

type callerAddr struct {
	net.Addr
	conn *room.Conn
}

// connectionOf is the connection that a request came over, nil when it did not come over a listener of ours.
func connectionOf(ctx context.Context) *room.Conn {
	if caller, ok := peer.FromContext(ctx); ok {
		if own, ok := caller.Addr.(*callerAddr); ok {
			return own.conn
		}
	}
	return nil
}

package extauthz

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/credentials"
)

// loggedTLS logs handshakes that fail, which gRPC keeps to itself. Anybody who reaches the port can cause those, so
// only a few a minute are logged above the level debug.
type loggedTLS struct {
	credentials.TransportCredentials
	log logr.Logger
	few *rate.Sometimes
}

func newLoggedTLS(config *tls.Config, log logr.Logger) credentials.TransportCredentials {
	return loggedTLS{credentials.NewTLS(config), log, &rate.Sometimes{First: 5, Interval: time.Minute}}
}

// ServerHandshake does the handshake.
func (l loggedTLS) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := l.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		verbosity := 1
		l.few.Do(func() { verbosity = 0 })
		l.log.V(verbosity).Info("Connection failed", "problem", err.Error())
	}
	return conn, info, err
}

// Clone is to make a copy that can be changed.
func (l loggedTLS) Clone() credentials.TransportCredentials {
	return loggedTLS{l.TransportCredentials.Clone(), l.log, l.few}
}

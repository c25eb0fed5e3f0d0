package httpserver

import (
	"context"
	"io"
	"net"
	"net/http"

	"github.com/tegata-dev/tegata/internal/room"
)

// observe is an http.Server's ConnState.
func observe(c net.Conn, s http.ConnState) {
	if own := room.Of(c); own != nil && s == http.StateIdle {
		own.Idle()
	}
}

type connectionKey struct{}

// remember is an http.Server's ConnContext.
func remember(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, room.Of(c))
}

// watchBodies marks a connection busy when the body of a request has been read to its end.
func watchBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch c, _ := r.Context().Value(connectionKey{}).(*room.Conn); {
		case c == nil:
		case r.Body == nil || r.Body == http.NoBody:
			c.Busy() // it is whole already, and nobody may ever read its end
		default:
			watched := *r
			watched.Body = &watchedBody{r.Body, c}
			r = &watched
		}
		next.ServeHTTP(w, r)
	})
}

type watchedBody struct {
	io.ReadCloser
	connection *room.Conn
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.connection.Busy()
	}
	return n, err
}

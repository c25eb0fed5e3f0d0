package httpserver

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
)

// connectionLog takes what net/http has to say of connections, such as failed TLS handshakes. Anybody
// who reaches the port can cause those, so only a few a minute are logged above the level debug.
type connectionLog struct {
	log logr.Logger
	few *rate.Sometimes
}

func newConnectionLog(l logr.Logger) slog.Handler {
	return connectionLog{log: l, few: &rate.Sometimes{First: 5, Interval: time.Minute}}
}

// Enabled says yes: the message decides.
func (connectionLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle logs one message. A panic is a bug of ours and always worth an error.
func (l connectionLog) Handle(_ context.Context, r slog.Record) error {
	message := strings.TrimSpace(r.Message)
	if strings.Contains(message, "panic serving") {
		l.log.Error(nil, "Handler failed", "problem", message)
		return nil
	}
	verbosity := 1
	l.few.Do(func() { verbosity = 0 })
	l.log.V(verbosity).Info("Connection failed", "problem", message)
	return nil
}

// WithAttrs and WithGroup do nothing: net/http uses neither.
func (l connectionLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup does nothing.
func (l connectionLog) WithGroup(string) slog.Handler { return l }

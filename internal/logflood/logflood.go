// Package logflood bounds log lines that somebody from outside can cause as often as they like.
//
// It owns how many are written. It must not decide what is worth a line.
package logflood

import (
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
)

// PerSecond is how many lines of one kind are written in a second.
const PerSecond = 20

// Line is one kind of line. It is safe for concurrent use.
type Line struct {
	log     logr.Logger
	message string
	permits *rate.Limiter

	mu      sync.Mutex
	leftOut int
}

// New makes a kind of line, which is known by its message.
func New(log logr.Logger, message string) *Line {
	return &Line{log: log, message: message, permits: rate.NewLimiter(PerSecond, PerSecond)}
}

// Info writes a line, or counts it if there were too many in the last second. The count is written within a second.
func (l *Line) Info(fields ...any) {
	if l.permits.Allow() {
		l.log.Info(l.message, fields...)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leftOut++
	if l.leftOut == 1 {
		time.AfterFunc(time.Second, l.tell)
	}
}

func (l *Line) tell() {
	l.mu.Lock()
	n := l.leftOut
	l.leftOut = 0
	l.mu.Unlock()
	l.log.Info("Lines were left out: there were too many", "line", l.message, "count", n)
}

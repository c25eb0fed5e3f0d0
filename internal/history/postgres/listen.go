package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is where each transaction that changes records tells so.
const channel = "tegata_history"

// listener wakes who waits for changes, of whichever server. It has a connection of its own.
type listener struct {
	cancel context.CancelFunc
	ended  chan struct{}

	mu        sync.Mutex
	woken     chan struct{}
	listening bool
}

// reconnectDelay is for how long a lost connection is left alone. Until it is back, waiters poll.
const reconnectDelay = time.Second

func listen(config *pgx.ConnConfig) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{cancel: cancel, ended: make(chan struct{}), woken: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for ctx.Err() == nil {
			_ = l.run(ctx, config) // who asks the database for changes is told what is wrong with it
			l.broadcast(false)     // for what was told while nobody listened
			select {
			case <-time.After(reconnectDelay):
			case <-ctx.Done():
			}
		}
	}()
	return l
}

// run listens until the connection is lost.
func (l *listener) run(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), reconnectDelay)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		l.broadcast(true)
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

// broadcast wakes all who wait.
func (l *listener) broadcast(listening bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.woken)
	l.woken, l.listening = make(chan struct{}), listening
}

// wake is closed when something may have changed since the call. listening says whether it will be, or only now and
// then.
func (l *listener) wake() (woken <-chan struct{}, listening bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.woken, l.listening
}

func (l *listener) close() {
	l.cancel()
	<-l.ended
}

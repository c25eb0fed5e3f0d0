package historyserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

const (
	// authoritiesTimeout is for how long a server waits to learn whom it may believe.
	authoritiesTimeout = 30 * time.Second
	// clientCATimeout is for how long it waits to learn of an authority of clients, which a cluster need not have.
	clientCATimeout = 2 * time.Second
	// authoritiesInterval is how often it looks whether it knows.
	authoritiesInterval = 20 * time.Millisecond
)

// authorities are those who issue the certificates of clients and of the API server that forwards requests. The
// library learns of them while it already serves: a client that connects before is not asked for its certificate,
// and is nobody for as long as it keeps its connection. The API server keeps it for hours.
type authorities struct {
	all, forwarders dynamiccertificates.CAContentProvider
}

// learned hides from the library that it could run what tells of authorities. What runs does not take listeners any
// more, and the library adds its own late: it listens in their place.
type learned struct {
	dynamiccertificates.CAContentProvider

	mu        sync.Mutex
	listeners []dynamiccertificates.Listener
}

// AddListener has the listener told of changes.
func (l *learned) AddListener(listener dynamiccertificates.Listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners = append(l.listeners, listener)
}

// Enqueue tells of a change.
func (l *learned) Enqueue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, listener := range l.listeners {
		listener.Enqueue()
	}
}

// takeAuthorities has the library leave the learning to us.
func takeAuthorities(config *genericserver.Config) authorities {
	a := authorities{all: config.SecureServing.ClientCA}
	if headers := config.Authentication.RequestHeaderConfig; headers != nil {
		a.forwarders = headers.CAContentProvider
	}
	if a.all != nil {
		known := &learned{CAContentProvider: a.all}
		a.all.AddListener(known)
		config.SecureServing.ClientCA = known
	}
	return a
}

// learn begins to learn until ctx ends, and returns when they are known.
func (a authorities) learn(ctx context.Context) error {
	if runner, ok := a.all.(dynamiccertificates.ControllerRunner); ok {
		if err := runner.RunOnce(ctx); err != nil {
			return fmt.Errorf("read the authorities of clients: %w", err)
		}
		go runner.Run(ctx, 1)
	}
	if a.forwarders == nil {
		return nil
	}
	if !a.await(ctx, authoritiesTimeout, func() bool { return len(a.forwarders.CurrentCABundleContent()) > 0 }) {
		return errors.New("who may forward requests is not known: the ConfigMap kube-system/extension-apiserver-authentication cannot be read, or has no requestheader-client-ca-file")
	}
	a.await(ctx, clientCATimeout, func() bool {
		return len(a.all.CurrentCABundleContent()) > len(a.forwarders.CurrentCABundleContent())
	})
	return nil
}

func (authorities) await(ctx context.Context, timeout time.Duration, known func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(authoritiesInterval)
	defer ticker.Stop()
	for !known() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

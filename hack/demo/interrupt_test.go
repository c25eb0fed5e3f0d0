package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestSecondSignalKillsUnlessItIsAnEcho(t *testing.T) {
	type sent struct {
		after time.Duration
		what  os.Signal
	}
	for name, tc := range map[string]struct {
		signals    []sent
		wantCause  error
		wantKilled bool
	}{
		"none":                           {},
		"Ctrl-C":                         {[]sent{{0, syscall.SIGINT}}, interruption{syscall.SIGINT}, false},
		"SIGTERM, and make passes it on": {[]sent{{0, syscall.SIGTERM}, {echo / 2, syscall.SIGTERM}}, interruption{syscall.SIGTERM}, false},
		"Ctrl-C twice":                   {[]sent{{0, syscall.SIGINT}, {time.Second, syscall.SIGINT}}, interruption{syscall.SIGINT}, true},
		"SIGTERM, then Ctrl-C":           {[]sent{{0, syscall.SIGTERM}, {time.Second, syscall.SIGINT}}, interruption{syscall.SIGTERM}, true},
		"nobody reads":                   {[]sent{{0, syscall.SIGPIPE}, {time.Second, syscall.SIGPIPE}}, errNobodyReads, false},
		"nobody reads, then Ctrl-C":      {[]sent{{0, syscall.SIGPIPE}, {time.Second, syscall.SIGINT}}, errNobodyReads, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				signals, killed := make(chan os.Signal), false
				go obey(signals, cancel, func(interruption) { killed = true })
				for _, s := range tc.signals {
					<-time.After(s.after)
					signals <- s.what
				}
				synctest.Wait()
				close(signals)
				if got := context.Cause(ctx); !errors.Is(got, tc.wantCause) {
					t.Errorf("the context ended by %v, want %v", got, tc.wantCause)
				}
				if killed != tc.wantKilled {
					t.Errorf("killed: %t, want %t", killed, tc.wantKilled)
				}
			})
		})
	}
}

func TestStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"well":    {nil, 0},
		"failed":  {errors.New("no"), 1},
		"Ctrl-C":  {interruption{syscall.SIGINT}, 130},
		"SIGTERM": {interruption{syscall.SIGTERM}, 143},
	} {
		t.Run(name, func(t *testing.T) {
			if got := status(tc.err); got != tc.want {
				t.Errorf("status %d, want %d", got, tc.want)
			}
		})
	}
}

package logflood

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
)

func TestAFloodIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var lines []string
		take := func() (written int, counts []string) {
			mu.Lock()
			defer mu.Unlock()
			for _, line := range lines {
				if _, count, ok := strings.Cut(line, `"msg"="Lines were left out: there were too many" `); ok {
					counts = append(counts, count)
					continue
				}
				written++
			}
			lines = nil
			return written, counts
		}
		line := New(funcr.New(func(_, args string) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, args)
		}, funcr.Options{}), "Session refused")
		for i, tc := range []struct {
			caused int
			want   int
			counts []string
		}{
			{caused: 0},
			{caused: PerSecond, want: PerSecond},
			{caused: PerSecond + 980, want: PerSecond, counts: []string{`"line"="Session refused" "count"=980`}},
			{caused: 10_000, want: PerSecond, counts: []string{`"line"="Session refused" "count"=9980`}},
			{caused: 1, want: 1},
		} {
			for range tc.caused {
				line.Info("reason", "SessionInvalid")
			}
			<-time.After(time.Second)
			synctest.Wait()
			written, counts := take()
			if written != tc.want {
				t.Errorf("second %d: %d lines were written of %d, want %d", i, written, tc.caused, tc.want)
			}
			if diff := cmp.Diff(tc.counts, counts); diff != "" {
				t.Errorf("second %d: counts (-want +got):\n%s", i, diff)
			}
		}
	})
}

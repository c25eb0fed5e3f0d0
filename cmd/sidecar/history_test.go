package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/history/recorder"
	"github.com/tegata-dev/tegata/internal/liveness"
)

func TestHistoryAnnotations(t *testing.T) {
	for name, tc := range map[string]struct {
		state         recorder.State
		lost, waiting string
	}{
		"nothing":                  {recorder.State{}, "0", "0"},
		"records on their way":     {recorder.State{Waiting: 900, Age: waitingLong - 1}, "0", "0"},
		"records that wait":        {recorder.State{Waiting: 99, Age: waitingLong}, "0", "99"},
		"more than two digits say": {recorder.State{Waiting: 123456, Age: time.Hour, Lost: 123456}, "123456", "120000"},
	} {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{liveness.AnnotationHistoryLost: tc.lost, liveness.AnnotationHistoryWaiting: tc.waiting}
			if diff := cmp.Diff(want, historyAnnotations(tc.state)); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCoarse(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 7: 7, 99: 99, 100: 100, 101: 100, 199: 190, 999: 990, 1000: 1000, 1099: 1000, 1 << 40: 1000000000000} {
		if got := coarse(n); got != want {
			t.Errorf("%d is %d, want %d", n, got, want)
		}
	}
}

// TestNoHistory: without a history server nothing of it is there.
func TestNoHistory(t *testing.T) {
	o, err := parseOptions([]string{"--server=asp1", "--namespace=relay"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHistorian(o, nil, nil, newLogger(o))
	if err != nil || h != nil || h.attempts() != nil || h.annotations() != nil || len(h.observers()) != 0 {
		t.Errorf("%v, %v", h, err)
	}
	h.start()()
}

package liveness

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// refusing is a client whose writes end in err, as long as there is one.
type refusing struct {
	client.Client
	err error
}

func (r *refusing) Create(context.Context, client.Object, ...client.CreateOption) error { return r.err }

func (r *refusing) Patch(context.Context, client.Object, client.Patch, ...client.PatchOption) error {
	return r.err
}

// line is one that a Keeper has logged, and when. An error has no level.
type line struct {
	At                 time.Duration
	Level              *int
	Msg, Error, Advice string
	Fresh              *bool
}

// loggingKeeper renews every 2.5 s, and twice a second once its Lease has run out.
func loggingKeeper(t *testing.T, api client.Client) (*Keeper, *[]line) {
	t.Helper()
	start, lines := time.Now(), new([]line)
	return NewKeeper(KeeperOptions{
		Client: api, Namespace: "relays", Server: "asp1", Identity: "pod",
		Log: funcr.NewJSON(func(text string) {
			l := line{At: time.Since(start)}
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Errorf("%v of %s", err, text)
			}
			*lines = append(*lines, l)
		}, funcr.Options{}),
		Duration: func() time.Duration { return staleness },
		Observed: func() (string, time.Time) { return "100", time.Now() },
		Resync:   func(context.Context) error { return nil },
	}), lines
}

var (
	errUnauthorized = apierrors.NewUnauthorized("Unauthorized")
	errForbidden    = apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "asp1-sidecar-pod", errors.New("not yours"))
)

// TestRefusedLeaseIsAnErrorOnceAMinute: only a person mends it, and it comes back with each attempt.
func TestRefusedLeaseIsAnErrorOnceAMinute(t *testing.T) {
	for name, tc := range map[string]struct {
		err        error
		wantAdvice string
	}{
		"Unauthorized": {errUnauthorized, "restart the sidecar with a new token"},
		"Forbidden":    {errForbidden, "Check --server and --namespace"},
	} {
		t.Run(name+" from the start", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, lines := loggingKeeper(t, &refusing{err: tc.err})
				ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
				defer cancel()
				if err := k.Claim(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Claim ended with %v", err)
				}
				wantErrors(t, *lines, "Lease could not be made, trying again", tc.wantAdvice, 0, time.Minute, 2*time.Minute)
			})
		})
		t.Run(name+" later", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &refusing{}
				k, lines := loggingKeeper(t, api)
				if err := k.Claim(t.Context()); err != nil {
					t.Fatal(err)
				}
				k.Begin()
				api.err = tc.err
				ctx, cancel := context.WithTimeout(t.Context(), 70*time.Second)
				defer cancel()
				k.Run(ctx)
				wantErrors(t, *lines, "Lease could not be renewed, trying again", tc.wantAdvice, 0, time.Minute)
				for i, wantFresh := range []bool{true, false} {
					if got := (*lines)[i].Fresh; got == nil || *got != wantFresh {
						t.Errorf("line %d says fresh %v, want %t", i, got, wantFresh)
					}
				}
			})
		})
	}
}

func wantErrors(t *testing.T, lines []line, msg, advice string, at ...time.Duration) {
	t.Helper()
	var got []time.Duration
	for _, l := range lines {
		got = append(got, l.At)
		if l.Level != nil || l.Msg != msg || l.Error == "" || !strings.Contains(l.Advice, advice) {
			t.Errorf("logged %+v, want an error %q with the advice %q", l, msg, advice)
		}
	}
	if diff := cmp.Diff(at, got); diff != "" {
		t.Fatalf("times of the lines (-want +got):\n%s", diff)
	}
}

// TestOtherFailuresOfTheLeaseAreTold one by one, and are no errors: they mend themselves.
func TestOtherFailuresOfTheLeaseAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, lines := loggingKeeper(t, &refusing{err: errors.New("connection refused")})
		ctx, cancel := context.WithTimeout(t.Context(), 10*retryDelay-time.Millisecond)
		defer cancel()
		_ = k.Claim(ctx)
		if len(*lines) != 10 {
			t.Errorf("%d lines of 10 attempts", len(*lines))
		}
		for _, l := range *lines {
			if l.Level == nil || !strings.Contains(l.Error, "connection refused") || l.Advice != "" {
				t.Errorf("logged %+v, want it as information", l)
			}
		}
	})
}

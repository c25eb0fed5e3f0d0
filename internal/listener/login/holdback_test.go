package login

import (
	"context"
	"io"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/httpserver"
)

func TestDenialsLeaveAtTheirTime(t *testing.T) {
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		responseTime time.Duration
		decided      time.Duration // after arrival
		want         time.Duration
	}{
		"decided at once":           {time.Second, 0, time.Second},
		"decided after a hash":      {time.Second, 40 * ms, time.Second},
		"decided just in time":      {time.Second, time.Second - 1, time.Second},
		"decided too late":          {time.Second, 1001 * ms, 2 * time.Second},
		"decided at that very time": {time.Second, time.Second, 2 * time.Second},
		"decided much too late":     {100 * ms, 5432 * ms, 5500 * ms},
		"shortest":                  {100 * ms, 0, 100 * ms},
		"longest":                   {10 * time.Second, 40 * ms, 10 * time.Second},
		"not set":                   {0, 40 * ms, time.Second},
		"negative":                  {-time.Second, 40 * ms, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := denying(decision.DeviceMismatch)
				service.denial.ResponseTime = tc.responseTime
				service.check = func(context.Context, *authn.Attempt) authn.Result {
					<-time.After(tc.decided)
					return authn.Result{}
				}
				w := httptest.NewRecorder()
				arrival := time.Now()
				NewHandler(service).ServeHTTP(w, newLogin(goodBody))
				if got := time.Since(arrival); got != tc.want || w.Code != 401 {
					t.Errorf("status %d left after %s, want 401 after %s", w.Code, got, tc.want)
				}
			})
		})
	}
}

func TestTheTimeOfASlowSenderDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := denying(decision.PasswordMismatch)
		service.denial.ResponseTime = time.Second
		body, sender := io.Pipe()
		go func() {
			_, _ = io.WriteString(sender, goodBody[:20])
			<-time.After(700 * time.Millisecond)
			_, _ = io.WriteString(sender, goodBody[20:])
			_ = sender.Close()
		}()
		r := newLogin("")
		r.Body, r.ContentLength = body, -1
		start := time.Now()
		NewHandler(service).ServeHTTP(httptest.NewRecorder(), r)
		if got, want := time.Since(start), 1700*time.Millisecond; got != want {
			t.Errorf("left after %s, want %s", got, want)
		}
	})
}

func TestAdmissionsLeaveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := allowing()
		service.denial.ResponseTime = 10 * time.Second
		start := time.Now()
		NewHandler(service).ServeHTTP(httptest.NewRecorder(), newLogin(goodBody))
		if got := time.Since(start); got != 0 {
			t.Errorf("left after %s", got)
		}
	})
}

func TestNothingIsWrittenToAPeerThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := denying(decision.PasswordMismatch)
		service.denial.ResponseTime = 10 * time.Second
		ctx, hangUp := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, hangUp)
		w := httptest.NewRecorder()
		start := time.Now()
		NewHandler(service).ServeHTTP(w, newLogin(goodBody).WithContext(ctx))
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("the handler ended after %s, want 3s", got)
		}
		if len(w.Header()) != 0 || w.Body.Len() != 0 {
			t.Errorf("wrote %v %s", w.Header(), w.Body)
		}
	})
}

// TestHangingUpEndsTheWait is about a real connection: that its end reaches the handler.
func TestHangingUpEndsTheWait(t *testing.T) {
	service := denying(decision.PasswordMismatch)
	service.denial.ResponseTime = time.Hour
	checked := make(chan context.Context, 1)
	service.check = func(ctx context.Context, _ *authn.Attempt) authn.Result {
		checked <- ctx
		return authn.Result{}
	}
	s := serve(t, httpserver.Options{Handler: NewHandler(service)})
	conn := s.dial()
	if _, err := io.WriteString(conn, post(goodBody)); err != nil {
		t.Fatal(err)
	}
	ctx := <-checked
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(patience):
		t.Error("the handler does not learn that its peer is gone")
	}
	// Serve ends, and goleak finds nothing, only if the handler has ended.
}

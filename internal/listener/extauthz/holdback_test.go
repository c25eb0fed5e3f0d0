package extauthz

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
)

func TestAnswersLeaveAtTheirTime(t *testing.T) {
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		headers map[string]string
		decided time.Duration // after arrival
		want    time.Duration
	}{
		"bearer, at once":         {bearing("bad"), 0, time.Second},
		"bearer, after a wait":    {bearing("bad"), 750 * ms, time.Second},
		"bearer, too late":        {bearing("bad"), 1001 * ms, 2 * time.Second},
		"cookie":                  {map[string]string{"cookie": "__Host-tegata-session=bad"}, 0, time.Second},
		"basic":                   {map[string]string{"authorization": "Basic dGFybzp4"}, 40 * ms, time.Second},
		"basic, after a session":  {map[string]string{"authorization": "Basic dGFybzp4", "cookie": "__Host-tegata-session=bad"}, 40 * ms, time.Second},
		"nothing":                 {nil, 0, 0},
		"two credentials":         {map[string]string{"authorization": "Bearer " + goodToken, "Authorization": "Bearer " + goodToken}, 0, time.Second},
		"malformed":               {map[string]string{"authorization": "Basic x"}, 0, 0},
		"admitted":                {bearing(goodToken), 5 * ms, 5 * ms},
		"admitted by basic":       {map[string]string{"authorization": "Basic dGFybzpjb3JyZWN0IGhvcnNl"}, 40 * ms, 40 * ms},
		"admitted, much too late": {bearing(goodToken), 1500 * ms, 1500 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newFakeService()
				service.denial.ResponseTime = time.Second
				session, login := service.session, service.login
				service.session = func(ctx context.Context, a authn.SessionAttempt) authn.SessionResult {
					<-time.After(tc.decided)
					return session(ctx, a)
				}
				service.login = func(ctx context.Context, a *authn.Attempt) authn.Result {
					<-time.After(tc.decided)
					return login(ctx, a)
				}
				arrival := time.Now()
				askHere(t, service, fromEnvoy(tc.headers))
				if got := time.Since(arrival); got != tc.want {
					t.Errorf("left after %s, want %s", got, tc.want)
				}
			})
		})
	}
}

func TestADenialThatWaitsHoldsNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newFakeService()
		service.denial.ResponseTime = time.Second
		var read *request
		c := checkerOf(service)
		service.session = func(context.Context, authn.SessionAttempt) authn.SessionResult {
			if read.encoded == nil || len(read.headers) == 0 {
				t.Error("nothing was read")
			}
			return denySession(decision.SessionEnded)
		}
		done := make(chan struct{})
		ctx, hangUp := context.WithCancel(t.Context())
		go func() {
			defer close(done)
			_, _ = c.check(ctx, func(v any) error {
				read, _ = v.(*request)
				return newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encode(fromEnvoy(bearing("bad"))))}, v)
			})
		}()
		synctest.Wait()
		if read.encoded != nil || len(read.headers) > 0 {
			t.Error("the request is held while its denial waits")
		}
		hangUp()
		<-done
	})
}

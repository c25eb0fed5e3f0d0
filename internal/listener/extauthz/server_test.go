package extauthz

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
)

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("answered %v, want %s", err, want)
	}
}

func TestTLS(t *testing.T) {
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	pool := x509.NewCertPool()
	pool.AddCert(https.Certificate())
	s := serve(t, Options{
		Service: newFakeService(), TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: https.TLS.Certificates},
	})
	conn := s.dial(grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})))
	response, err := authv3.NewAuthorizationClient(conn).Check(within(t), fromEnvoy(bearing(goodToken)))
	if err != nil || response.GetOkResponse() == nil {
		t.Errorf("answered %v, %v", response, err)
	}
	_, err = s.client().Check(within(t), fromEnvoy(bearing(goodToken)))
	wantCode(t, err, codes.Unavailable)
}

func TestFailedHandshakesAreLoggedButDoNotFloodTheLog(t *testing.T) {
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	var logged logBuffer
	s := serve(t, Options{
		Service: newFakeService(), Log: logged.logger(),
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: https.TLS.Certificates},
	})
	const attempts = 20
	for range attempts {
		conn, err := net.DialTimeout("tcp", s.address, patience)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn) // it is reset, or closed
		_ = conn.Close()
	}
	s.stop()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	var loud, quiet int
	for line := range strings.SplitSeq(logged.String(), "\n") {
		switch {
		case !strings.Contains(line, "Connection failed"):
		case strings.Contains(line, `"level"=0`):
			loud++
		default:
			quiet++
		}
	}
	if loud != 5 || loud+quiet != attempts {
		t.Errorf("%d failures were logged at info and %d at debug, want 5 and %d", loud, quiet, attempts-5)
	}
}

func TestHealthFollowsReadiness(t *testing.T) {
	ready := make(chan bool, 1)
	ready <- false
	s := serve(t, Options{Service: newFakeService(), Ready: func() bool {
		now := <-ready
		ready <- now
		return now
	}})
	client := healthpb.NewHealthClient(s.dial())
	watch, err := client.Watch(within(t), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if got, err := watch.Recv(); err != nil || got.GetStatus() != want {
			t.Fatalf("watched %s, %v, want %s", got.GetStatus(), err, want)
		}
		for _, service := range []string{"", "envoy.service.auth.v3.Authorization"} {
			if got, err := client.Check(within(t), &healthpb.HealthCheckRequest{Service: service}); err != nil || got.GetStatus() != want {
				t.Errorf("%q is %s, %v, want %s", service, got.GetStatus(), err, want)
			}
		}
		list, err := client.List(within(t), &healthpb.HealthListRequest{})
		if err != nil || len(list.GetStatuses()) != 2 || list.GetStatuses()[""].GetStatus() != want {
			t.Errorf("listed %v, %v", list, err)
		}
	}
	next(healthpb.HealthCheckResponse_NOT_SERVING)
	<-ready
	ready <- true
	next(healthpb.HealthCheckResponse_SERVING)
	_, err = client.Check(within(t), &healthpb.HealthCheckRequest{Service: "other"})
	wantCode(t, err, codes.NotFound)

	s.stop()
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("at the end watched %s, %v", got.GetStatus(), err)
	}
	_, err = watch.Recv()
	wantCode(t, err, codes.Unavailable)
}

func TestReflectionTellsOfTheService(t *testing.T) {
	s := serve(t, Options{Service: newFakeService()})
	stream, err := reflectionpb.NewServerReflectionClient(s.dial()).ServerReflectionInfo(within(t))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	const service = "envoy.service.auth.v3.Authorization"
	listed := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	if !slices.ContainsFunc(listed.GetListServicesResponse().GetService(), func(r *reflectionpb.ServiceResponse) bool { return r.GetName() == service }) {
		t.Errorf("listed %v", listed)
	}
	described := ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	})
	if len(described.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("described as %v", described)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

// raw sends bytes as they are.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("marshal %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}
func (raw) Unmarshal(mem.BufferSlice, any) error { return nil }

func TestMalformedRequestsAreRefused(t *testing.T) {
	service := newFakeService()
	s := serve(t, Options{Service: service})
	for name, tc := range map[string]struct {
		message []byte
		want    codes.Code
	}{
		"no CheckRequest":     {[]byte{0xff}, codes.Internal},
		"no text":             {inMap("cookie", "\xff"), codes.Internal},
		"more than there may": {encode(fromEnvoy(map[string]string{"x": strings.Repeat("x", maxMessageBytes)})), codes.ResourceExhausted},
	} {
		err := s.dial().Invoke(within(t), authv3.Authorization_Check_FullMethodName, tc.message, nil, grpc.ForceCodecV2(raw{}))
		t.Run(name, func(t *testing.T) { wantCode(t, err, tc.want) })
	}
	if sessions, logins := service.asked(); len(sessions)+len(logins) > 0 {
		t.Errorf("the service was asked %d times", len(sessions)+len(logins))
	}
	if got := s.failures(causeMalformed); got != 3 {
		t.Errorf("%v malformed requests were counted, want 3", got)
	}
}

func TestDeadlinesEndTheWait(t *testing.T) {
	var logged logBuffer
	service := newFakeService()
	service.denial.ResponseTime = time.Hour
	s := serve(t, Options{Service: service, Log: logged.logger()})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.client().Check(ctx, fromEnvoy(bearing("bad")))
	wantCode(t, err, codes.DeadlineExceeded)
	s.stop()
	if err := <-s.done; err != nil { // which waits for the handler
		t.Error(err)
	}
	if got := s.failures(causeDeadline); got != 1 {
		t.Errorf("%v deadlines were counted, want 1", got)
	}
	if !strings.Contains(logged.String(), "longer timeout") {
		t.Errorf("logged %s", logged.String())
	}
}

func TestHangingUpEndsTheWait(t *testing.T) {
	service := newFakeService()
	service.denial.ResponseTime = time.Hour
	checked := make(chan struct{})
	service.session = func(context.Context, authn.SessionAttempt) authn.SessionResult {
		close(checked)
		return denySession(decision.SessionEnded)
	}
	s := serve(t, Options{Service: service})
	ctx, hangUp := context.WithCancel(t.Context())
	done := make(chan error, 1)
	client := s.client()
	go func() {
		_, err := client.Check(ctx, fromEnvoy(bearing("bad")))
		done <- err
	}()
	<-checked
	hangUp()
	wantCode(t, <-done, codes.Canceled)
	// Serve ends, and goleak finds nothing, only if the handler has ended.
}

func TestDenialsThatWaitLeaveRoomForSessions(t *testing.T) {
	const room = 3
	service := newFakeService()
	service.denial.ResponseTime = time.Hour
	checked := make(chan struct{}, room)
	admit := service.session
	service.session = func(ctx context.Context, a authn.SessionAttempt) authn.SessionResult {
		r := admit(ctx, a)
		if !r.Allowed() {
			defer func() { checked <- struct{}{} }()
		}
		return r
	}
	s := serve(t, Options{Service: service, MaxWaiting: room})
	client := s.client()
	ctx, hangUp := context.WithCancel(within(t))
	over := make(chan error, room)
	for range room {
		go func() {
			_, err := client.Check(ctx, fromEnvoy(bearing("bad")))
			over <- err
		}()
		<-checked
	}
	full := func() error {
		_, err := client.Check(within(t), fromEnvoy(map[string]string{"authorization": "Basic dGFybzpjb3JyZWN0IGhvcnNl"}))
		return err
	}
	// That a denial was decided does not say that it waits already.
	for status.Code(full()) != codes.ResourceExhausted {
		if t.Context().Err() != nil || within(t).Err() != nil {
			t.Fatal("there is always room")
		}
	}
	response, err := client.Check(within(t), fromEnvoy(bearing(goodToken)))
	if err != nil || response.GetOkResponse() == nil {
		t.Errorf("a session is answered %v, %v", response, err)
	}
	if s.failures(causeBusy) == 0 {
		t.Error("nothing was counted as too much")
	}
	hangUp()
	for range room {
		wantCode(t, <-over, codes.Canceled)
	}
}

func TestWhatWaitsTakesNoPlaceOfAnother(t *testing.T) {
	for name, request := range map[string]map[string]string{
		"session": bearing("bad"), "login": {"authorization": "Basic dGFybzp4"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := newFakeService()
				service.denial.ResponseTime = time.Second
				c := checkerOf(service)
				go func() {
					_, _ = c.check(t.Context(), func(v any) error {
						return newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encode(fromEnvoy(request)))}, v)
					})
				}()
				synctest.Wait()
				if len(c.checks) != 0 || len(c.waiting) != 1 {
					t.Errorf("%d are checked and %d wait, want none and 1", len(c.checks), len(c.waiting))
				}
				<-time.After(time.Minute)
				synctest.Wait()
				if len(c.checks) != 0 || len(c.waiting) != 0 {
					t.Errorf("at the end %d are checked and %d wait", len(c.checks), len(c.waiting))
				}
			})
		})
	}
}

func TestChecksUnderWayAreBounded(t *testing.T) {
	c := &checker{metrics: NewMetrics(prometheus.NewRegistry()), checks: make(slots, 1)}
	c.checks.take()
	_, err := c.check(t.Context(), func(any) error { t.Error("a request was read that there is no room for"); return nil })
	wantCode(t, err, codes.ResourceExhausted)
}

func TestStoppingAnswersWhatIsUnderWay(t *testing.T) {
	service := newFakeService()
	service.denial.ResponseTime = 300 * time.Millisecond
	checked := make(chan struct{})
	service.session = func(context.Context, authn.SessionAttempt) authn.SessionResult {
		close(checked)
		return denySession(decision.SessionEnded)
	}
	s := serve(t, Options{Service: service})
	type outcome struct {
		response *authv3.CheckResponse
		err      error
	}
	done := make(chan outcome, 1)
	client := s.client()
	go func() {
		response, err := client.Check(within(t), fromEnvoy(bearing("bad")))
		done <- outcome{response, err}
	}()
	<-checked
	s.stop()
	if got := <-done; got.err != nil || got.response.GetDeniedResponse() == nil {
		t.Errorf("answered %v, %v", got.response, got.err)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

func TestStoppingDoesNotWaitForEver(t *testing.T) {
	service := newFakeService()
	service.denial.ResponseTime = time.Hour
	checked := make(chan struct{})
	service.session = func(context.Context, authn.SessionAttempt) authn.SessionResult {
		close(checked)
		return denySession(decision.SessionEnded)
	}
	s := serve(t, Options{Service: service, Drain: 100 * time.Millisecond})
	done := make(chan error, 1)
	client := s.client()
	go func() {
		_, err := client.Check(within(t), fromEnvoy(bearing("bad")))
		done <- err
	}()
	<-checked
	s.stop()
	if err := <-done; err == nil {
		t.Error("answered")
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

func TestServeFailsWhenItCannotAccept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	err = Serve(t.Context(), l, Options{Service: newFakeService(), MaxWaiting: 1, Metrics: NewMetrics(prometheus.NewRegistry()), Log: logr.Discard()})
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want that the listener is closed", err)
	}
}

func TestPanicIsLoggedAndRefused(t *testing.T) {
	var logged logBuffer
	service := newFakeService()
	service.session = func(context.Context, authn.SessionAttempt) authn.SessionResult { panic("a bug") }
	s := serve(t, Options{Service: service, Log: logged.logger()})
	_, err := s.client().Check(within(t), fromEnvoy(bearing("x")))
	wantCode(t, err, codes.Internal)
	if strings.Contains(err.Error(), "bug") || !strings.Contains(logged.String(), "a bug") {
		t.Errorf("answered %v, logged %s", err, logged.String())
	}
	service.session = newFakeService().session
	if got := s.check(fromEnvoy(bearing(goodToken))); got.GetOkResponse() == nil {
		t.Errorf("afterwards answered %v", got)
	}
}

func TestACallerThatSetsNoDeadlineHasOne(t *testing.T) {
	service := newFakeService()
	admit := service.session
	left := make(chan time.Duration, 1)
	service.session = func(ctx context.Context, a authn.SessionAttempt) authn.SessionResult {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return admit(ctx, a)
	}
	s := serve(t, Options{Service: service})
	for name, timeout := range map[string]time.Duration{"none": 0, "a day": 24 * time.Hour, "10 s": 10 * time.Second} {
		ctx, cancel := context.WithCancel(t.Context())
		if timeout > 0 {
			ctx, cancel = context.WithTimeout(t.Context(), timeout)
		}
		if _, err := s.client().Check(ctx, fromEnvoy(bearing(goodToken))); err != nil {
			t.Fatal(err)
		}
		cancel()
		most := maxCheckTime
		if name == "10 s" {
			most = timeout
		}
		if got := <-left; got <= most-patience/3 && got <= most-10*time.Second || got > most {
			t.Errorf("%s: %s were left, want %s", name, got, most)
		}
	}
}

package extauthz

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/tegata-dev/tegata/internal/room"
	"github.com/tegata-dev/tegata/internal/tracing"
)

// Bounds of the listener.
const (
	// maxMessageBytes has room for 60 KiB of headers, which is what Envoy takes by default, twice: the path is in a
	// CheckRequest twice; and for a chain of certificates.
	maxMessageBytes = 256 << 10
	// maxHeaderBytes is for gRPC's own headers.
	maxHeaderBytes = 16 << 10
	// grace is how long a connection without a check keeps its place when others need it.
	grace              = time.Second
	defaultConnections = 512
	// maxChecks bounds the requests that are read and decided, beside those that wait.
	maxChecks = 1024
	// maxCheckTime bounds a check whose caller sets no deadline: as the login listener's answers.
	maxCheckTime = 40 * time.Second
	// logInterval is how often a mistake in the configuration is logged.
	logInterval = 10 * time.Minute
	// maxWatches bounds streams of health and reflection.
	maxWatches = 64

	// The windows of flow control are fixed: to find better ones, gRPC would ask the peer time and again.
	streamWindow     = 2 * maxMessageBytes
	connectionWindow = 1 << 20
)

// Options shape a listener.
type Options struct {
	Service Service
	// TLS serves gRPC over TLS; nil serves it in the clear.
	TLS *tls.Config
	// MaxWaiting bounds how many logins and denials that are held back there may be at a time. Further ones are
	// answered RESOURCE_EXHAUSTED.
	MaxWaiting int
	// Ready is what health tells.
	Ready func() bool
	// Drain bounds the time that checks under way have when the server stops: 25 s when zero.
	Drain   time.Duration
	Metrics *Metrics
	// Tracer is nil where no traces are made.
	Tracer *tracing.Tracer
	Log    logr.Logger
	// MaxConnections bounds the connections that there are at a time: 512 when zero, which is far more than the
	// workers of some Envoys have. Further ones take the place of those that have waited longest for a check.
	MaxConnections int
}

// Serve serves until ctx ends, then lets checks under way finish.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	stopping, stop := context.WithCancel(context.Background())
	defer stop()
	server := newServer(o, stopping.Done())
	failed := make(chan error, 1)
	go func() {
		failed <- server.Serve(callers{room.Listen(l, cmp.Or(o.MaxConnections, defaultConnections), grace)})
	}()
	select {
	case err := <-failed:
		server.Stop()
		return fmt.Errorf("serve ext_authz: %w", err)
	case <-ctx.Done():
	}
	o.Log.Info("Draining checks")
	stop()
	// Whoever does not finish in time, or does not hang up, is cut off.
	timer := time.AfterFunc(cmp.Or(o.Drain, 25*time.Second), server.Stop)
	defer timer.Stop()
	server.GracefulStop()
	if err := <-failed; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve ext_authz: %w", err)
	}
	return nil
}

func newServer(o Options, stopping <-chan struct{}) *grpc.Server {
	guard := &guard{watches: make(slots, maxWatches), log: o.Log}
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.NumStreamWorkers(uint32(4 * runtime.GOMAXPROCS(0))), //nolint:gosec // few
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connectionWindow),
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxHeaderListSize(maxHeaderBytes),
		// One connection may take all the room there is: an Envoy has few.
		grpc.MaxConcurrentStreams(uint32(o.MaxWaiting + maxChecks)), //nolint:gosec // the flag is bounded
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 15 * time.Minute, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.InTapHandle(boundTime), grpc.StreamInterceptor(guard.stream), grpc.UnaryInterceptor(guard.unary),
	}
	if o.TLS != nil {
		options = append(options, grpc.Creds(newLoggedTLS(o.TLS, o.Log)))
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&serviceDesc, &checker{
		service: o.Service, metrics: o.Metrics, tracer: o.Tracer, log: o.Log,
		fewCallers: rate.Sometimes{First: 1, Interval: logInterval}, fewDeadlines: rate.Sometimes{First: 1, Interval: logInterval},
		checks: make(slots, maxChecks), waiting: make(slots, o.MaxWaiting),
	})
	healthpb.RegisterHealthServer(server, &health{ready: o.Ready, stopping: stopping})
	reflection.Register(server)
	return server
}

// serviceDesc is that of the published service, with a handler that reads what it needs only.
var serviceDesc = grpc.ServiceDesc{
	ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Check",
		Handler: func(server any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			c, _ := server.(*checker) // nothing else is registered
			return c.check(ctx, decode)
		},
	}},
	Metadata: authv3.Authorization_ServiceDesc.Metadata,
}

// boundTime gives a check whose caller would wait for longer, or for ever, a time by which it must be over: a
// request that begins and does not arrive would keep its place.
func boundTime(ctx context.Context, info *tap.Info) (context.Context, error) {
	if info.FullMethodName != authv3.Authorization_Check_FullMethodName {
		return ctx, nil
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= maxCheckTime {
		return ctx, nil
	}
	bounded, cancel := context.WithTimeout(ctx, maxCheckTime)
	context.AfterFunc(ctx, cancel) // which gRPC ends with the stream
	return bounded, nil
}

// guard is about health and reflection, which are not ours: they may be many, and may fail.
type guard struct {
	watches slots
	log     logr.Logger
}

func (g *guard) unary(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (response any, err error) {
	defer func() { err = g.recovered(recover(), err) }()
	return next(ctx, request)
}

func (g *guard) stream(server any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	if !g.watches.take() {
		return errBusy
	}
	defer g.watches.free()
	defer func() { err = g.recovered(recover(), err) }()
	return next(server, s)
}

// recovered is the error to answer with: that of the handler, if it did not panic.
func (g *guard) recovered(bug any, err error) error {
	if bug == nil {
		return err
	}
	g.log.Error(fmt.Errorf("%v", bug), "Handler of health or reflection failed")
	return status.Error(codes.Internal, "the request failed")
}

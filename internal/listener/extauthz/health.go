package extauthz

import (
	"context"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// healthInterval is how often it is looked whether there is something to tell those that watch.
const healthInterval = time.Second

// health answers grpc.health.v1 by the sidecar's readiness, for the server as a whole and for its one service.
type health struct {
	healthpb.UnimplementedHealthServer
	ready    func() bool
	stopping <-chan struct{}
}

func (h *health) status() healthpb.HealthCheckResponse_ServingStatus {
	if !h.ready() {
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}

func known(service string) bool {
	return service == "" || service == authv3.Authorization_ServiceDesc.ServiceName
}

// Check tells the status at present.
func (h *health) Check(_ context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if !known(r.GetService()) {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &healthpb.HealthCheckResponse{Status: h.status()}, nil
}

// List tells the status of all there is.
func (h *health) List(context.Context, *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	now := &healthpb.HealthCheckResponse{Status: h.status()}
	return &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{
		"": now, authv3.Authorization_ServiceDesc.ServiceName: now,
	}}, nil
}

// Watch tells the status, and again when it has changed, until the watcher goes or the server stops.
func (h *health) Watch(r *healthpb.HealthCheckRequest, s grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	last := healthpb.HealthCheckResponse_UNKNOWN
	for {
		now := healthpb.HealthCheckResponse_SERVICE_UNKNOWN
		if known(r.GetService()) {
			now = h.status()
		}
		if now != last {
			if err := s.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-tick.C:
			continue
		case <-s.Context().Done():
			return status.FromContextError(s.Context().Err()).Err()
		case <-h.stopping:
		}
		if known(r.GetService()) && last != healthpb.HealthCheckResponse_NOT_SERVING {
			_ = s.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}) // it goes anyway
		}
		return status.Error(codes.Unavailable, "the server stops")
	}
}

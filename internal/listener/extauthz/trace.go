package extauthz

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/tegata-dev/tegata/internal/clientaddr"
	"github.com/tegata-dev/tegata/internal/tracing"
)

// listen begins the span of a check. Envoy tells of its own trace in the metadata of its call; what the headers of the
// request tell that it asks about is the client's word.
func (c *checker) listen(ctx context.Context) (context.Context, tracing.Span) {
	if !c.tracer.On() {
		return ctx, tracing.Span{}
	}
	var caller tracing.Carrier
	if policy := c.service.Policy(); policy != nil && clientaddr.Trusted(policy.TrustedProxies, callerOf(ctx)) {
		told, _ := metadata.FromIncomingContext(ctx)
		caller = tracing.Values(told.Get)
	}
	return c.tracer.Listen(ctx, tracing.SpanName(ListenerName), caller)
}

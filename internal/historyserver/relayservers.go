package historyserver

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// relayServersAtOnce is how many RelayServers are read at a time.
const relayServersAtOnce = 500

// RelayServers reads the retention of RelayServers from the API server.
type RelayServers struct {
	client dynamic.Interface
	date   *atomic.Int64 // of the last answer, in seconds since 1970
}

// NewRelayServers makes a RelayServers.
func NewRelayServers(config *rest.Config) (*RelayServers, error) {
	r := &RelayServers{date: &atomic.Int64{}}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &dated{next, r.date} })
	var err error
	if r.client, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return r, nil
}

// dated notes when answers were given, by the clock of who gives them.
type dated struct {
	http.RoundTripper
	date *atomic.Int64
}

// RoundTrip is the other's.
func (d *dated) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := d.RoundTripper.RoundTrip(request)
	if err == nil {
		if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
			d.date.Store(date.Unix())
		}
	}
	return response, err
}

// Retentions are those of all RelayServers, and what time it is by the API server.
func (r *RelayServers) Retentions(ctx context.Context) (map[types.NamespacedName]time.Duration, time.Time, error) {
	resource := r.client.Resource(v1alpha1.GroupVersion.WithResource("relayservers"))
	retentions := map[types.NamespacedName]time.Duration{}
	options := metav1.ListOptions{Limit: relayServersAtOnce}
	for {
		list, err := resource.List(ctx, options)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("list RelayServers: %w", err)
		}
		for i := range list.Items {
			server := &list.Items[i]
			retentions[types.NamespacedName{Namespace: server.GetNamespace(), Name: server.GetName()}] = retentionOf(server)
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return retentions, r.time(), nil
		}
	}
}

// time is zero when no answer told it.
func (r *RelayServers) time() time.Time {
	if seconds := r.date.Load(); seconds != 0 {
		return time.Unix(seconds, 0)
	}
	return time.Time{}
}

// retentionOf is zero where none is said. The API server admits no other value than a duration.
func retentionOf(server *unstructured.Unstructured) time.Duration {
	text, _, _ := unstructured.NestedString(server.Object, "spec", "history", "retention")
	retention, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return retention
}

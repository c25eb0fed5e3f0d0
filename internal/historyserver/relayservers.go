package historyserver

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// relayServersAtOnce is how many RelayServers are read at a time.
const relayServersAtOnce = 500

// RelayServers reads the retention of RelayServers from the API server.
type RelayServers struct{ Client dynamic.Interface }

// Retentions are those of all RelayServers.
func (r RelayServers) Retentions(ctx context.Context) (map[types.NamespacedName]time.Duration, error) {
	resource := r.Client.Resource(v1alpha1.GroupVersion.WithResource("relayservers"))
	retentions := map[types.NamespacedName]time.Duration{}
	options := metav1.ListOptions{Limit: relayServersAtOnce}
	for {
		list, err := resource.List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list RelayServers: %w", err)
		}
		for i := range list.Items {
			server := &list.Items[i]
			retentions[types.NamespacedName{Namespace: server.GetNamespace(), Name: server.GetName()}] = retentionOf(server)
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return retentions, nil
		}
	}
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

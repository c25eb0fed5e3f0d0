package main

import (
	"fmt"
	"net/http"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// newClient makes a client that reads from the API server, without a cache. It knows its few kinds
// beforehand, so that it asks for no discovery and starts while the API server is away.
func newClient(o *options) (client.WithWatch, error) {
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS = -1 // what is written is paced at its source; an enrolment must not queue behind it
	config.UserAgent = "tegata-sidecar/" + version
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, coordinationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return newWithMapper(config, httpClient, scheme)
}

func newWithMapper(config *rest.Config, httpClient *http.Client, scheme *runtime.Scheme) (client.WithWatch, error) {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, gvk := range []schema.GroupVersionKind{
		v1alpha1.GroupVersion.WithKind("RelayServer"),
		v1alpha1.GroupVersion.WithKind("RelayUser"),
		corev1.SchemeGroupVersion.WithKind("Secret"),
		coordinationv1.SchemeGroupVersion.WithKind("Lease"),
	} {
		mapper.Add(gvk, meta.RESTScopeNamespace)
	}
	return client.NewWithWatch(config, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper})
}

func restConfig(path string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
}

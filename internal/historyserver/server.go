package historyserver

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/runtime"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/registry/rest"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/server/options"
	basecompatibility "k8s.io/component-base/compatibility"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/historyserver/openapi"
)

const (
	// requestTimeout ends what is no watch.
	requestTimeout = 30 * time.Second
	// maxReads and maxWrites bound the requests that are served at a time: a page of a thousand records takes some
	// megabytes until it is sent.
	maxReads  = 24
	maxWrites = 48
	// maxStreams bounds the requests of one connection.
	maxStreams = 100
	// kubernetesVersion is that of the libraries.
	kubernetesVersion = "1.37"
)

// Config is what a server needs.
type Config struct {
	Store history.Store
	// Serving, Authentication and Authorization are as the library has them.
	Serving        *options.SecureServingOptionsWithLoopback
	Authentication *options.DelegatingAuthenticationOptions
	Authorization  *options.DelegatingAuthorizationOptions
	// Audiences are those of which a token must have one.
	Audiences []string
	// Retentions and DefaultRetention say for how long records are kept.
	Retentions       Retentions
	DefaultRetention time.Duration
	// Quota is what each RelayServer may send; DefaultQuota when zero.
	Quota    Quota
	Registry *prometheus.Registry
	Log      logr.Logger
	// Now is the clock.
	Now func() time.Time
}

// Server serves a Store. It does not close it.
type Server struct {
	generic     *genericserver.GenericAPIServer
	authorities authorities
	housekeeper *housekeeper
}

// New makes a server. It reads from the API server how callers are to be authenticated.
func New(c *Config) (*Server, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, fmt.Errorf("make the scheme: %w", err)
	}
	m := newMetrics(c.Registry)
	records := &records{
		reader: newReader(c), watches: newPlaces(maxWatches, maxWatchesOfOne), bookmarkEvery: bookmarkInterval, metrics: m,
	}
	config, err := genericConfig(c, scheme)
	if err != nil {
		return nil, err
	}
	config.BuildHandlerChainFunc = func(api http.Handler, config *genericserver.Config) http.Handler {
		return genericserver.DefaultBuildHandlerChain(withForget(api, records, config.Serializer), config)
	}
	authorities := takeAuthorities(config)
	generic, err := config.Complete(nil).New("tegata-history", genericserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("make the API server: %w", err)
	}
	if err := install(generic, scheme, records, cmp.Or(c.Quota, DefaultQuota)); err != nil {
		return nil, err
	}
	if err := generic.AddPostStartHook("announce", func(genericserver.PostStartHookContext) error {
		c.Log.Info("Serving the access history", "address", config.SecureServing.Listener.Addr().String())
		return nil
	}); err != nil {
		return nil, fmt.Errorf("announce: %w", err)
	}
	gatherers := prometheus.Gatherers{legacyregistry.DefaultGatherer, c.Registry}
	generic.Handler.NonGoRestfulMux.Handle("/metrics", promhttp.HandlerFor(gatherers, promhttp.HandlerOpts{}))
	return &Server{generic: generic, authorities: authorities, housekeeper: &housekeeper{
		store: c.Store, retentions: c.Retentions, standard: c.DefaultRetention, clocks: records.clocks, metrics: m, log: c.Log.WithName("housekeeping"),
	}}, nil
}

// genericConfig says how the library serves: without a database of its own, admission, priorities and audit, which
// all need objects of the API server.
func genericConfig(c *Config, scheme *runtime.Scheme) (*genericserver.Config, error) {
	config := genericserver.NewConfig(newCodecs(scheme))
	config.EffectiveVersion = basecompatibility.NewEffectiveVersionFromString(kubernetesVersion, "", "")
	namer := apiopenapi.NewDefinitionNamer(scheme)
	config.OpenAPIConfig = genericserver.DefaultOpenAPIConfig(openapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIConfig.Info.Title = "Tegata access history"
	config.OpenAPIV3Config = genericserver.DefaultOpenAPIV3Config(openapi.GetOpenAPIDefinitions, namer)
	config.OpenAPIV3Config.Info.Title = "Tegata access history"
	config.EnableIndex, config.EnableProfiling, config.EnableMetrics = false, false, false
	config.RequestTimeout = requestTimeout
	config.MaxRequestsInFlight, config.MaxMutatingRequestsInFlight = maxReads, maxWrites
	config.MaxRequestBodyBytes = maxBody
	config.AddReadyzChecks(healthz.NamedCheck("store", func(r *http.Request) error { return c.Store.Ping(r.Context()) }))

	c.Serving.HTTP2MaxStreamsPerConnection = maxStreams
	if err := c.Serving.ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	config.Authentication.APIAudiences = c.Audiences
	if err := c.Authentication.ApplyTo(&config.Authentication, config.SecureServing, config.OpenAPIConfig); err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	if err := c.Authorization.ApplyTo(&config.Authorization); err != nil {
		return nil, fmt.Errorf("authorize: %w", err)
	}
	return config, nil
}

func newReader(c *Config) reader {
	return reader{store: c.Store, now: c.Now, clocks: newClocks(c.Now), log: c.Log}
}

func install(generic *genericserver.GenericAPIServer, scheme *runtime.Scheme, records *records, quota Quota) error {
	group := genericserver.NewDefaultAPIGroupInfo(v1alpha1.GroupVersion.Group, scheme, runtime.NewParameterCodec(scheme), newCodecs(scheme))
	group.VersionedResourcesStorageMap[v1alpha1.GroupVersion.Version] = map[string]rest.Storage{
		"accessrecords":      records,
		"userusages":         &usages{records.reader},
		"accesslogs":         logs{},
		"accesslogs/records": newIngest(records, quota),
	}
	if err := generic.InstallAPIGroup(&group); err != nil {
		return fmt.Errorf("install the API group: %w", err)
	}
	return nil
}

// Run serves until ctx ends, and then what was begun.
func (s *Server) Run(ctx context.Context) error {
	prepared := s.generic.PrepareRun()
	if err := s.authorities.learn(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	housekeeping, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.housekeeper.run(housekeeping)
	}()
	defer func() { stop(); <-done }()
	if err := prepared.RunWithContext(ctx); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

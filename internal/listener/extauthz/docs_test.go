package extauthz

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3" // the page names it
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3" // the page names it
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"        // the page names it
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// configurations are those that the page prints, in its order.
func configurations(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/envoy.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, block := range yamlBlock.FindAllSubmatch(page, -1) {
		all = append(all, string(block[1]))
	}
	if len(all) != 4 {
		t.Fatalf("the page prints %d configurations, want Envoy's, its TLS, Istio's and Envoy Gateway's", len(all))
	}
	return all
}

// parse reads a configuration as Envoy does, by the published types, and checks what they say is valid.
func parse(t *testing.T, text string, into proto.Message) {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(asJSON, into); err != nil {
		t.Fatal(err)
	}
	validate(t, into)
	err = protorange.Range(into.ProtoReflect(), func(v protopath.Values) error {
		m, ok := v.Index(-1).Value.Interface().(protoreflect.Message)
		if !ok {
			return nil
		}
		if packed, ok := m.Interface().(*anypb.Any); ok {
			message, err := packed.UnmarshalNew()
			if err != nil {
				return err
			}
			validate(t, message)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func validate(t *testing.T, m proto.Message) {
	t.Helper()
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			t.Error(err)
		}
	}
}

func TestEnvoysConfigurationIsWhatThePageSays(t *testing.T) {
	var bootstrap bootstrapv3.Bootstrap
	parse(t, configurations(t)[0], &bootstrap)
	var manager hcmv3.HttpConnectionManager
	filters := bootstrap.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()
	if err := filters[0].GetTypedConfig().UnmarshalTo(&manager); err != nil {
		t.Fatal(err)
	}
	var filter extauthzv3.ExtAuthz
	if err := manager.GetHttpFilters()[0].GetTypedConfig().UnmarshalTo(&filter); err != nil {
		t.Fatal(err)
	}
	if filter.GetFailureModeAllow() || !filter.GetIncludePeerCertificate() || filter.GetTransportApiVersion() != corev3.ApiVersion_V3 {
		t.Errorf("the filter is %v", &filter)
	}
	// A denial takes at most 10 s beyond a decision, which takes as long at most.
	if timeout := filter.GetGrpcService().GetTimeout().AsDuration(); timeout < 20*time.Second || timeout > maxCheckTime {
		t.Errorf("the timeout is %s", timeout)
	}
	if manager.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction() != corev3.HttpProtocolOptions_REJECT_REQUEST || !manager.GetUseRemoteAddress().GetValue() {
		t.Errorf("the manager is %v", &manager)
	}
	cluster := bootstrap.GetStaticResources().GetClusters()[0]
	if cluster.GetName() != filter.GetGrpcService().GetEnvoyGrpc().GetClusterName() ||
		cluster.GetHealthChecks()[0].GetGrpcHealthCheck().GetServiceName() != serviceDesc.ServiceName {
		t.Errorf("the cluster is %v", cluster)
	}
	// Nobody has a session yet who asks for one.
	unasked := regexp.MustCompile("^(?:" + manager.GetRouteConfig().GetVirtualHosts()[0].GetRoutes()[0].GetMatch().GetSafeRegex().GetRegex() + ")$")
	for path, want := range map[string]bool{
		"/v1/auth/login": true, "/v1/auth/logout": true, "/v1/auth/challenges": true, "/v1/auth/login/x": false, "/v1/auth": false, "/": false,
	} {
		if unasked.MatchString(path) != want {
			t.Errorf("%s passes without being asked: %v, want %v", path, !want, want)
		}
	}
}

func TestEnvoysTLSIsValid(t *testing.T) {
	var socket corev3.TransportSocket
	inner, ok := strings.CutPrefix(configurations(t)[1], "transport_socket:\n")
	if !ok {
		t.Fatal("it is no transport_socket")
	}
	parse(t, inner, &socket)
}

func TestManifestsAreYAML(t *testing.T) {
	for _, manifests := range configurations(t)[2:] {
		for manifest := range strings.SplitSeq(manifests, "---\n") {
			var object struct{ APIVersion, Kind string }
			if err := yaml.Unmarshal([]byte(manifest), &object); err != nil || object.APIVersion == "" || object.Kind == "" {
				t.Errorf("%v: %s", err, manifest)
			}
		}
	}
}

package testenv

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// frontProxy is the name under which the API server forwards requests to aggregated ones.
const frontProxy = "front-proxy-client"

// aggregationFlags let the API server forward requests to others, as a cluster's does.
func (cp *ControlPlane) aggregationFlags() []string {
	return []string{
		"--requestheader-client-ca-file=" + cp.file("front-proxy-ca.crt"),
		"--requestheader-allowed-names=" + frontProxy,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-uid-headers=X-Remote-Uid",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + cp.file(frontProxy+".crt"),
		"--proxy-client-key-file=" + cp.file(frontProxy+".key"),
	}
}

// frontProxyFiles are the certificates of aggregationFlags. Their authority is one of its own: who is trusted to
// forward must not be whom any client certificate names.
func frontProxyFiles() (map[string][]byte, error) {
	authority, err := newAuthority()
	if err != nil {
		return nil, err
	}
	pair, err := authority.client(frontProxy)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"front-proxy-ca.crt": authority.pem, frontProxy + ".crt": pair.certificate, frontProxy + ".key": pair.key,
	}, nil
}

// Aggregated is the place of an API server that stands behind the control plane's: a port of the loopback
// interface, and a certificate for it. It is a Service's, so that clients within a cluster would reach it too.
type Aggregated struct {
	// Port is where it is to listen, on 127.0.0.1; URL is how to reach it there.
	Port int
	URL  string
	// CertFile and KeyFile are what it is to serve with. CAFile is who has issued that, and every client certificate.
	CertFile, KeyFile, CAFile string

	plane              *ControlPlane
	namespace, service string
	ca                 []byte
}

// Aggregate makes a place for an API server behind the Service.
func (cp *ControlPlane) Aggregate(namespace, service string) (*Aggregated, error) {
	p, err := reservePort()
	if err != nil {
		return nil, err
	}
	cp.mu.Lock()
	cp.ports = append(cp.ports, p)
	cp.mu.Unlock()
	a := &Aggregated{
		Port: p.number, URL: p.url(), plane: cp, namespace: namespace, service: service, ca: cp.authority.pem, CAFile: cp.file("ca.crt"),
		CertFile: cp.file(service + ".crt"), KeyFile: cp.file(service + ".key"),
	}
	pair, err := cp.authority.server(service, service+"."+namespace+".svc")
	if err != nil {
		return nil, err
	}
	return a, errors.Join(os.WriteFile(a.CertFile, pair.certificate, 0o600), os.WriteFile(a.KeyFile, pair.key, 0o600))
}

// Register has the control plane forward the API group's requests to it, and waits until it does. The Service is an
// ExternalName: there are no nodes here.
func (a *Aggregated) Register(ctx context.Context, c client.Client, gv schema.GroupVersion) error {
	for _, object := range []*unstructured.Unstructured{a.serviceObject(), a.apiService(gv)} {
		if err := applyObject(ctx, c, a.namespace, object); err != nil {
			return fmt.Errorf("register %s: apply the %s: %w", gv, object.GetKind(), err)
		}
	}
	api := a.apiService(gv)
	err := poll(ctx, func() error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(api), api); err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(api.Object, "status", "conditions")
		if !slices.ContainsFunc(conditions, isAvailable) {
			return fmt.Errorf("it is not available: %v", conditions)
		}
		// It may say so of a server that was there before.
		return a.plane.answers(a.plane.apiPort.url() + "/apis/" + gv.String())(ctx)
	})
	if err != nil {
		return fmt.Errorf("register %s: %w", gv, err)
	}
	return nil
}

// Manifests are what Register applies, as YAML.
func (a *Aggregated) Manifests(gv schema.GroupVersion) ([]byte, error) {
	var all []byte
	for _, object := range []*unstructured.Unstructured{a.serviceObject(), a.apiService(gv)} {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, err
		}
		all = append(append(all, "---\n"...), text...)
	}
	return all, nil
}

func isAvailable(condition any) bool {
	fields, ok := condition.(map[string]any)
	return ok && fields["type"] == "Available" && fields["status"] == "True"
}

func (a *Aggregated) serviceObject() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": a.service, "namespace": a.namespace},
		"spec":     map[string]any{"type": "ExternalName", "externalName": "localhost"},
	}}
}

func (a *Aggregated) apiService(gv schema.GroupVersion) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": gv.Version + "." + gv.Group},
		"spec": map[string]any{
			"group": gv.Group, "version": gv.Version, "groupPriorityMinimum": int64(1000), "versionPriority": int64(15),
			"service":  map[string]any{"name": a.service, "namespace": a.namespace, "port": int64(a.Port)},
			"caBundle": base64.StdEncoding.EncodeToString(a.ca),
		},
	}}
}

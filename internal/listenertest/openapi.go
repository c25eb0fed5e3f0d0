package listenertest

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Description is an openapi.yaml, by which requests and responses can be judged.
func Description(t *testing.T, openAPI []byte) routers.Router {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if !document.IsOpenAPI31OrLater() {
		t.Errorf("openapi: %s, want 3.1", document.OpenAPI)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Fatalf("openapi.yaml is no OpenAPI 3.1: %v", err)
	}
	router, err := gorillamux.NewRouter(document)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// Package openapi holds the OpenAPI definitions of what the history server serves. They are generated.
package openapi

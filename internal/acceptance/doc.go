// Package acceptance tests the product as its users meet it: the manager and the sidecars as processes of
// their own, under the Roles that a cluster would give them, against a real API server, asked over HTTP
// and administered with kubectl. It holds tests only.
package acceptance

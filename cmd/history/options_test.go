package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

func TestOptions(t *testing.T) {
	tls := []string{"--tls-cert-file=c", "--tls-private-key-file=k"}
	tests := map[string]struct {
		args []string
		want string // in the error; empty for none
	}{
		"SQLite":              {append([]string{"--sqlite-dir=/data"}, tls...), ""},
		"PostgreSQL":          {append([]string{"--store=postgres", "--postgres-dsn-file=/dsn"}, tls...), ""},
		"no directory":        {tls, "--store sqlite needs --sqlite-dir"},
		"no DSN":              {append([]string{"--store=postgres"}, tls...), "--store postgres needs --postgres-dsn-file"},
		"both stores":         {append([]string{"--sqlite-dir=/data", "--postgres-dsn-file=/dsn"}, tls...), "no flag of the other store"},
		"unheard-of store":    {append([]string{"--store=oracle"}, tls...), `"oracle" is neither`},
		"no certificate":      {[]string{"--sqlite-dir=/data"}, "--tls-cert-file and --tls-private-key-file are required"},
		"no retention":        {append([]string{"--sqlite-dir=/data", "--retention-default=1s"}, tls...), "at least 1h"},
		"no rate":             {append([]string{"--sqlite-dir=/data", "--ingest-rate=0"}, tls...), "--ingest-rate"},
		"no number":           {append([]string{"--sqlite-dir=/data", "--ingest-rate=NaN"}, tls...), "--ingest-rate"},
		"less than a batch":   {append([]string{"--sqlite-dir=/data", "--ingest-burst=1000"}, tls...), "more than a batch has"},
		"no audience":         {append([]string{"--sqlite-dir=/data", "--token-audiences="}, tls...), "must name one"},
		"answers for a day":   {append([]string{"--sqlite-dir=/data", "--access-cache=24h"}, tls...), "between 0 and 5m"},
		"port of nothing":     {append([]string{"--sqlite-dir=/data", "--secure-port=0"}, tls...), "--secure-port"},
		"old TLS":             {append([]string{"--sqlite-dir=/data", "--tls-min-version=VersionTLS10"}, tls...), "VersionTLS12 or VersionTLS13"},
		"a word that is left": {append([]string{"--sqlite-dir=/data", "now"}, tls...), `unexpected argument "now"`},
		"unheard-of flag":     {[]string{"--dir=/data"}, "unknown flag"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o, err := parseOptions(tc.args)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			case tc.want == "" && (o.retention != 8760*time.Hour || len(o.authorization.AlwaysAllowGroups) != 0 || o.authentication.CacheTTL != 10*time.Second):
				t.Errorf("defaults %+v", o)
			}
		})
	}
}

// TestShippedArguments are those of the Deployments in config.
func TestShippedArguments(t *testing.T) {
	for store, dir := range map[string]string{storeSQLite: "history-sqlite", storePostgres: "history-postgres"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "config", dir, "deployment.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var deployment appsv1.Deployment
		if err := yaml.UnmarshalStrict(content, &deployment); err != nil {
			t.Fatal(err)
		}
		container := deployment.Spec.Template.Spec.Containers[0]
		o, err := parseOptions(container.Args)
		if err != nil || o.store != store {
			t.Fatalf("%s: %v", dir, err)
		}
		mounted := map[string]bool{}
		for _, mount := range container.VolumeMounts {
			mounted[mount.MountPath] = true
		}
		for _, path := range []string{o.sqliteDir, o.postgresDSNFile, o.serving.ServerCert.CertKey.CertFile, o.serving.ServerCert.CertKey.KeyFile} {
			if path != "" && !mounted[filepath.Dir(path)] {
				t.Errorf("%s: nothing is mounted for %s", dir, path)
			}
		}
	}
}

// TestRestConfigOutsideAPod says which flag is missing. KUBECONFIG alone would name a cluster to one client of two.
func TestRestConfigOutsideAPod(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBECONFIG", "/dev/null")
	if _, err := restConfig(""); err == nil || !strings.Contains(err.Error(), "outside a pod, give --kubeconfig") {
		t.Errorf("got %v", err)
	}
}

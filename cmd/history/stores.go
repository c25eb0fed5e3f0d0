package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/postgres"
	"github.com/tegata-dev/tegata/internal/history/sqlite"
)

func openStore(ctx context.Context, o *options) (history.Store, error) {
	if o.store == storeSQLite {
		return sqlite.Open(ctx, o.sqliteDir)
	}
	dsn, err := os.ReadFile(o.postgresDSNFile)
	if err != nil {
		return nil, fmt.Errorf("read --postgres-dsn-file: %w", err)
	}
	return postgres.Open(ctx, strings.TrimSpace(string(dsn)))
}

// restConfig is of the file, or of the pod. KUBECONFIG is not read: what asks the API server who may do what does not
// know it either.
func restConfig(path string) (*rest.Config, error) {
	if path != "" {
		return clientcmd.BuildConfigFromFlags("", path)
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("%w; outside a pod, give --kubeconfig", err)
	}
	return config, nil
}

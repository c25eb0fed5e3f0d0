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

func restConfig(path string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
}

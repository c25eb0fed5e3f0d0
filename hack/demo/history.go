package main

import (
	"context"
	"fmt"
	"os"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
)

const systemNamespace = "tegata-system"

// startHistory starts the history server as the service account that config/history gives it.
func startHistory(ctx context.Context, c *cluster) error {
	place, err := c.plane.Aggregate(systemNamespace, "tegata-history")
	if err != nil {
		return fmt.Errorf("make a place for the history server: %w", err)
	}
	_, err = c.startProgram(ctx, programStart{
		name: "history", path: c.tools.history, namespace: systemNamespace, account: "tegata-history",
		args: []string{
			"--sqlite-dir=" + c.file("history"), "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", place.Port),
			"--tls-cert-file=" + place.CertFile, "--tls-private-key-file=" + place.KeyFile,
		},
		readyWhenLogged: "Serving the access history",
	})
	c.history = place
	return err
}

// registerHistory puts the Service in the place of the shipped one, which would look for Pods.
func registerHistory(ctx context.Context, c *cluster) error {
	manifests, err := c.history.Manifests(historyv1alpha1.GroupVersion)
	if err != nil {
		return err
	}
	path := c.file("history.yaml")
	if err := os.WriteFile(path, manifests, 0o600); err != nil {
		return err
	}
	return run("kubectl --context=admin apply --server-side --force-conflicts -f "+path, says("apiservice.apiregistration.k8s.io/v1alpha1.history.tegata.dev serverside-applied"))(ctx, c)
}

// historyFlags tell the sidecar where to send its records, and as whom.
func (c *cluster) historyFlags(account string) []string {
	return []string{
		"--history-address=" + c.history.URL, "--history-ca-file=" + c.history.CAFile,
		"--history-token-file=" + c.tokenFile(account), "--history-spool-dir=" + c.file("spool"),
	}
}

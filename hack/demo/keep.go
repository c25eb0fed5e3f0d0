package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
)

// keep says how to go on and waits for the end, which is no error when it was asked for.
func (c *cluster) keep(ctx context.Context) error {
	c.screen.title("It is left running, for another terminal in this directory:")
	c.screen.line("export KUBECONFIG=%s", c.kubeconfig())
	path := filepath.Dir(c.tools.plugin) // by which kubectl finds `kubectl relay`
	if _, err := exec.LookPath("kubectl"); err != nil {
		path += ":" + c.tools.assets
	}
	c.screen.line(`export PATH="$PATH:%s"`, path)
	c.screen.line("\nThe sidecar answers logins at %s/v1/login.", c.sidecarURL)
	c.screen.line("Its probes are at %s/healthz and %s/readyz, its metrics at %s/metrics.", c.probeURL, c.probeURL, c.probeURL)
	c.screen.line("\nGateways are not served. For them start a second sidecar, with the addresses of docs/forward-auth.md,\n" +
		"docs/envoy.md or docs/radius.md:")
	c.screen.line("  %s --kubeconfig=%s --namespace=%s --server=asp1 --identity=gateways --…-address=…",
		c.shortPath(c.tools.sidecar), c.accountFile("asp1-sidecar"), namespace)
	c.screen.line("\nFour things to try:")
	for _, line := range c.invitations() {
		c.screen.command(line)
	}
	c.screen.line("\nCtrl-C ends everything and removes its files.")
	<-ctx.Done()
	cause := context.Cause(ctx)
	if errors.As(cause, new(interruption)) {
		c.screen.ending(cause)
		return nil
	}
	c.screen.failed(cause, c.logTails())
	return cause
}

func (c *cluster) invitations() []string {
	return []string{
		"kubectl explain relayuser.spec --recursive",
		reports(c, "pc", "taro-pc-77e2"),
		`kubectl patch relayuser taro --type=merge -p '{"spec":{"suspended":true}}'   # then log in again`,
		"kubectl relay history taro",
	}
}

package e2e

import (
	"errors"
	"strings"
	"testing"
)

// relaySample is a relay with its sidecar.
const relaySample = "config/samples/relay.yaml"

func (c *cluster) makeImages(t *testing.T) { c.section(t, readPage(t, "install.md"), "1. Images") }

// install installs, and adds a relay with a user.
func (c *cluster) install(t *testing.T) {
	// "Put your relay's image into relay.yaml."
	c.edit(t, relaySample, "        image: registry.example.com/relay:1\n", `        image: registry.example.com/tegata-peers:e2e
        imagePullPolicy: Never
        command: [/peer, relay, ":8443", "http://127.0.0.1:8293"]
        readinessProbe: {tcpSocket: {port: relay}, periodSeconds: 1}
        # Whoever has not heard yet that this pod goes is still answered.
        lifecycle: {preStop: {sleep: {seconds: 5}}}
`)
	p := readPage(t, "install.md")
	for _, title := range []string{"2. Apply", "3. Roles", "4. A relay"} {
		c.section(t, p, title)
	}
	c.run(t, "kubectl -n "+namespace+" wait relayserver/asp1 relayuser/taro --for=condition=Ready --timeout=2m")
	// Both managers are there, in pods that the namespace's Pod Security admits.
	if pods := c.pods(t, systemNamespace, "app.kubernetes.io/component=manager"); len(pods) != 2 {
		t.Errorf("managers: %q, want two", pods)
	}
	for in, want := range map[string]string{systemNamespace: "restricted", namespace: "restricted"} {
		if got := c.run(t, "kubectl get namespace "+in+` -o jsonpath='{.metadata.labels.pod-security\.kubernetes\.io/enforce}'`); got != want {
			t.Errorf("Pod Security of %s: %q", in, got)
		}
	}
	if out, err := c.try(`kubectl diff --server-side -f "dist/$INSTALL"`); err != nil {
		t.Errorf("applying again would change something: %v\n%s", err, out)
	}
}

func (c *cluster) installHistory(t *testing.T) {
	c.section(t, readPage(t, "history.md"), "Install it")
	c.run(t, "kubectl -n "+systemNamespace+" rollout status deployment/tegata-history --timeout=2m")
}

// startRelay has the relay's sidecars tell the history, and looks at what was put into its pods.
func (c *cluster) startRelay(t *testing.T) {
	c.edit(t, relaySample, "      # annotations: {tegata.dev/forward-auth-address: \"127.0.0.1:8295\"}\n", historyAnnotation(t))
	c.run(t, "kubectl -n "+namespace+" apply -f "+relaySample)
	c.apply(t, "people.yaml")
	c.run(t, "kubectl -n "+namespace+" rollout status deployment/asp1 --timeout=3m")
	c.run(t, "kubectl -n "+namespace+" wait pod/people --for=condition=Ready --timeout=1m")
	c.run(t, "kubectl -n "+namespace+" wait relayserver/asp1 --for=condition=SidecarsLive --timeout=1m")
	// And the old ones have gone.
	c.eventually(t, "kubectl -n "+namespace+` get pods -l app=asp1 -o jsonpath='{.items[*].spec.initContainers[*].name}.{.items[*].status.phase}'`,
		"tegata-sidecar tegata-sidecar.Running Running")
	// The relay does not have the token by which the sidecar reads hashes.
	mounts := c.run(t, "kubectl -n "+namespace+` get pods -l app=asp1 -o jsonpath='{.items[*].spec.containers[*].volumeMounts[*].mountPath}'`)
	if mounts != "" {
		t.Errorf("the relay mounts %s", mounts)
	}
	// "Whether all of it is there, kubectl relay doctor says."
	eventually(t, func() error {
		out, err := c.try("kubectl relay doctor -n " + namespace)
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "ok ") {
				err = errors.Join(err, errors.New(line))
			}
		}
		return err
	})
}

// takeAway runs what the page says of it, and looks at what it says stays.
func (c *cluster) takeAway(t *testing.T) {
	const bindings = "kubectl -n " + namespace + ` get relayusers -o jsonpath='{range .items[*]}{.metadata.name} {.status.slots[*].binding.id}{"\n"}{end}'`
	before := c.run(t, bindings)
	c.run(t, "kubectl -n "+namespace+" delete pod/load deployment/asp1 --wait=false")
	for _, command := range inTables(readPage(t, "install.md").section(t, "Take it away")) {
		c.run(t, command+" --ignore-not-found --timeout=3m")
		if strings.Contains(command, "config/crd") {
			continue
		}
		if after := c.run(t, bindings); after != before {
			t.Errorf("users and bindings were to stay; before:\n%s\nafter:\n%s", before, after)
		}
	}
	if out, err := c.try("kubectl get relayusers -A"); err == nil {
		t.Errorf("there are users still:\n%s", out)
	}
}

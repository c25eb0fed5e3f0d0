package e2e

import (
	"testing"
)

// TestInPods is one story, told in order: what a step leaves, the next one finds.
func TestInPods(t *testing.T) {
	c := newCluster(t)
	t.Log("not here, because not every cluster has them: the NetworkPolicies' enforcement, Services of type LoadBalancer, metrics-server")
	for _, step := range []struct {
		name string
		run  func(*cluster, *testing.T)
		// needed is what no later step can do without.
		needed bool
	}{
		{"images", (*cluster).makeImages, true},
		{"install", (*cluster).install, true},
		{"access history", (*cluster).installHistory, true},
		{"relay", (*cluster).startRelay, true},
		{"story", (*cluster).story, false},
		{"helpdesk", (*cluster).helpdesk, false},
		{"gateways", (*cluster).startGateways, false},
		{"forward auth", (*cluster).forwardAuth, false},
		{"RADIUS", (*cluster).radius, false},
		{"monitoring", (*cluster).startMonitoring, true},
		{"the leader is killed in a reset of many", (*cluster).leaderKilled, false},
		{"people log in all the time", (*cluster).startLoad, true},
		{"a namespace is deleted", (*cluster).deleteNamespace, false},
		{"the relay is rolled", (*cluster).rollRelay, false},
		{"credentials and keys are replaced", (*cluster).replaceSecrets, false},
		{"keys are broken", (*cluster).breakKeys, false},
		{"the deleted namespace is gone", (*cluster).namespaceGone, false},
		{"the history server goes away", (*cluster).historyAway, false},
		{"the API server is restarted", (*cluster).apiServerRestarted, false},
		{"a sidecar runs out of memory", (*cluster).outOfMemory, false},
		{"the history server comes back", (*cluster).historyBack, false},
		{"nothing is lost", (*cluster).nothingLost, false},
		{"taken away", (*cluster).takeAway, false},
	} {
		passed := t.Run(step.name, func(t *testing.T) { step.run(c, t) })
		if passed {
			continue
		}
		c.tellAll(t)
		if step.needed {
			t.Fatalf("what comes after %q needs it", step.name)
		}
	}
}

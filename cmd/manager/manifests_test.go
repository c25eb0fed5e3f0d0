package main

import (
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestManifestsAreAccepted(t *testing.T) {
	env := testenv.Shared(t)
	stdout, stderr, err := env.Kubectl(t, "", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-k", "../../config/manager")
	if err != nil || strings.Contains(stderr, "Warning") {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, object := range []string{
		"deployment.apps/tegata-manager", "serviceaccount/tegata-manager",
		"clusterrole.rbac.authorization.k8s.io/tegata-manager", "clusterrolebinding.rbac.authorization.k8s.io/tegata-manager",
		"role.rbac.authorization.k8s.io/tegata-manager-leader-election",
	} {
		if !strings.Contains(stdout, object+" ") {
			t.Errorf("there is no %s in\n%s", object, stdout)
		}
	}
}

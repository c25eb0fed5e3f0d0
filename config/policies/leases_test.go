package policies_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/liveness"
	"github.com/tegata-dev/tegata/internal/testenv"
)

var (
	otherName  = denied("tegata-sidecar-leases", "a sidecar may touch its own Leases only: their names begin with asp1-sidecar-")
	otherLabel = denied("tegata-sidecar-leases", "a sidecar may touch its own Leases only: they bear the label tegata.dev/relay-server with the name of a RelayServer that its ServiceAccount serves")
	tooLong    = denied("tegata-sidecar-leases", "the Lease of a sidecar may last for an hour (3600 s) at most")
)

// lease is a Lease with the labels of a server's sidecars.
func lease(namespace, name, server string) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: liveness.Labels(server)},
		Spec:       coordinationv1.LeaseSpec{LeaseDurationSeconds: new(int32(300))},
	}
}

// TestSidecarKeepsItsLease lets the code of the sidecar make, renew and give up its Lease.
func TestSidecarKeepsItsLease(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keeper := liveness.NewKeeper(liveness.KeeperOptions{
		Client: sidecarClient(t, env, namespace, server), Namespace: namespace, Server: server, Identity: "Pod-0.example.com",
		Duration: func() time.Duration { return time.Hour }, // the longest
		Observed: func() (string, time.Time) { return "42", time.Now() },
		Resync:   func(context.Context) error { return nil },
		Log:      logr.Discard(),
	})
	if err := keeper.Claim(ctx); err != nil {
		t.Fatal(err)
	}
	keeper.Begin()
	made := onlyLease(t, env, namespace)
	if made == nil {
		t.Fatal("there is no Lease after Claim")
	}
	var wg sync.WaitGroup
	wg.Go(func() { keeper.Run(ctx) })
	testenv.Eventually(t, activation, func() error {
		keeper.Hurry()
		if renewed := onlyLease(t, env, namespace); renewed.ResourceVersion == made.ResourceVersion {
			return errors.New("the Lease is not renewed")
		}
		return nil
	})
	cancel()
	wg.Wait()
	keeper.GiveUp()
	if left := onlyLease(t, env, namespace); left != nil {
		t.Errorf("Lease %s is there after GiveUp", left.Name)
	}
}

func onlyLease(t *testing.T, env *testenv.Env, namespace string) *coordinationv1.Lease {
	t.Helper()
	var leases coordinationv1.LeaseList
	if err := env.Client.List(t.Context(), &leases, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	if len(leases.Items) == 0 {
		return nil
	}
	return &leases.Items[0]
}

func TestSidecarMakesItsOwnLeasesOnly(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	sidecar := sidecarClient(t, env, namespace, server)
	for name, tc := range map[string]struct {
		lease *coordinationv1.Lease
		want  string
	}{
		"its own":                       {lease(namespace, "asp1-sidecar-pod-0-abc", server), ""},
		"of an hour":                    {lasting(lease(namespace, "asp1-sidecar-pod-1-abc", server), 3600), ""},
		"of more than an hour":          {lasting(lease(namespace, "asp1-sidecar-pod-2-abc", server), 3601), tooLong},
		"of another server":             {lease(namespace, "asp2-sidecar-pod-0-abc", "asp2"), otherLabel},
		"of another name":               {lease(namespace, "tegata-manager", server), otherName},
		"of its account's name":         {lease(namespace, "asp1-sidecar", server), otherName},
		"with another server's label":   {lease(namespace, "asp1-sidecar-pod-3-abc", "asp2"), otherLabel},
		"without a label":               {unlabelled(lease(namespace, "asp1-sidecar-pod-4-abc", server)), otherLabel},
		"of a server whose name begins": {lease(namespace, "asp1-sidecar-sidecar-pod-0-abc", "asp1-sidecar"), otherLabel},
		"of a generated name":           {generated(lease(namespace, "", server), "leader-"), otherName},
		"of a name generated for it":    {generated(lease(namespace, "", server), "asp1-sidecar-"), ""},
		"with nothing but a name":       {&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}}, otherLabel},
	} {
		t.Run(name, func(t *testing.T) { checkError(t, sidecar.Create(t.Context(), tc.lease), tc.want) })
	}
}

func lasting(l *coordinationv1.Lease, seconds int32) *coordinationv1.Lease {
	l.Spec.LeaseDurationSeconds = &seconds
	return l
}

func unlabelled(l *coordinationv1.Lease) *coordinationv1.Lease {
	l.Labels = nil
	return l
}

func generated(l *coordinationv1.Lease, prefix string) *coordinationv1.Lease {
	l.GenerateName = prefix
	return l
}

func TestSidecarChangesItsOwnLeasesOnly(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	sidecar := sidecarClient(t, env, namespace, server)
	relabel := func(value string) []byte {
		return fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, v1alpha1.LabelRelayServer, value)
	}
	renew := []byte(`{"spec":{"holderIdentity":"me"}}`)
	for name, tc := range map[string]struct {
		stored *coordinationv1.Lease
		patch  []byte // deleted without one
		want   string
	}{
		"renews its own":                {lease(namespace, "asp1-sidecar-a", server), renew, ""},
		"deletes its own":               {lease(namespace, "asp1-sidecar-b", server), nil, ""},
		"takes its own label off":       {lease(namespace, "asp1-sidecar-c", server), relabel("null"), otherLabel},
		"labels its own for another":    {lease(namespace, "asp1-sidecar-d", server), relabel(`"asp2"`), otherLabel},
		"makes its own last":            {lease(namespace, "asp1-sidecar-e", server), []byte(`{"spec":{"leaseDurationSeconds":3601}}`), tooLong},
		"renews a leader's":             {unlabelled(lease(namespace, "leader-a", server)), renew, otherLabel},
		"deletes a leader's":            {unlabelled(lease(namespace, "leader-b", server)), nil, otherLabel},
		"labels a leader's as its own":  {unlabelled(lease(namespace, "leader-c", server)), relabel(`"asp1"`), otherLabel},
		"renews another server's":       {lease(namespace, "asp2-sidecar-a", "asp2"), renew, otherLabel},
		"deletes another server's":      {lease(namespace, "asp2-sidecar-b", "asp2"), nil, otherLabel},
		"renews that of asp1-sidecar":   {lease(namespace, "asp1-sidecar-sidecar-a", "asp1-sidecar"), renew, otherLabel},
		"relabels that of asp1-sidecar": {lease(namespace, "asp1-sidecar-sidecar-b", "asp1-sidecar"), relabel(`"asp1"`), otherLabel},
		"deletes that of asp1-sidecar":  {lease(namespace, "asp1-sidecar-sidecar-c", "asp1-sidecar"), nil, otherLabel},
	} {
		t.Run(name, func(t *testing.T) {
			if err := env.Client.Create(t.Context(), tc.stored); err != nil {
				t.Fatal(err)
			}
			if tc.patch == nil {
				checkError(t, sidecar.Delete(t.Context(), tc.stored), tc.want)
				return
			}
			checkError(t, sidecar.Patch(t.Context(), tc.stored, client.RawPatch("application/merge-patch+json", tc.patch)), tc.want)
		})
	}
	err := sidecar.DeleteAllOf(t.Context(), &coordinationv1.Lease{}, client.InNamespace(namespace), client.MatchingLabels(liveness.Labels("asp2")))
	checkError(t, err, otherLabel)
}

// TestInjectedSidecarMakesItsOwnLeasesOnly: the account has a name of the relay's choice, and may serve several.
func TestInjectedSidecarMakesItsOwnLeasesOnly(t *testing.T) {
	env := shared(t)
	namespace := env.Namespace(t)
	one := accountClient(t, env, namespace, "relay", sidecarRules(server)...)
	two := accountClient(t, env, namespace, "relays", append(sidecarRules("asp2"), sidecarRules(server)...)...)
	for name, tc := range map[string]struct {
		client client.Client
		lease  *coordinationv1.Lease
		want   string
	}{
		"of its server":             {one, lease(namespace, "asp1-sidecar-a", server), ""},
		"of another server":         {one, lease(namespace, "asp2-sidecar-a", "asp2"), otherLabel},
		"of its account's name":     {one, lease(namespace, "relay-sidecar-a", "relay"), otherLabel},
		"a leader's":                {one, unlabelled(lease(namespace, "leader", server)), otherLabel},
		"of the first of two":       {two, lease(namespace, "asp1-sidecar-b", server), ""},
		"of the second of two":      {two, lease(namespace, "asp2-sidecar-b", "asp2"), ""},
		"of the one by the other's": {two, lease(namespace, "asp1-sidecar-c", "asp2"), denied("tegata-sidecar-leases", "a sidecar may touch its own Leases only: their names begin with asp2-sidecar-")},
	} {
		t.Run(name, func(t *testing.T) { checkError(t, tc.client.Create(t.Context(), tc.lease), tc.want) })
	}
}

// TestOthersKeepTheirLeases: the policy is about sidecars of Tegata, and nobody else.
func TestOthersKeepTheirLeases(t *testing.T) {
	env := shared(t)
	namespace, elsewhere := env.Namespace(t), env.Namespace(t)
	statusRule := leaseRule
	statusRule.APIGroups, statusRule.Resources, statusRule.Verbs = []string{"tegata.dev"}, []string{"relayusers/status"}, []string{"patch"}
	for name, c := range map[string]client.Client{
		"the administrator":                    env.Client,
		"another product's sidecar":            accountClient(t, env, namespace, "istio-sidecar", leaseRule),
		"an account that may write the status": accountClient(t, env, namespace, "operator", statusRule, leaseRule),
		"an account named sidecar":             accountClient(t, env, namespace, "sidecar", statusRule, leaseRule),
	} {
		t.Run(name, func(t *testing.T) {
			own := unlabelled(generated(lease(namespace, "", server), "leader-"))
			own.Spec.LeaseDurationSeconds = new(int32(86400))
			checkError(t, c.Create(t.Context(), own), "")
			checkError(t, c.Patch(t.Context(), own, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"holderIdentity":"me"}}`))), "")
			checkError(t, c.Delete(t.Context(), own), "")
		})
	}
	// A namespace without Tegata, where the same name means nothing.
	namesake := accountClient(t, env, elsewhere, account, leaseRule)
	checkError(t, namesake.Create(t.Context(), unlabelled(lease(elsewhere, "leader", server))), "")
}

package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

func podsAs(accounts ...string) ([]metav1.PartialObjectMetadata, map[types.UID]string) {
	pods, known := make([]metav1.PartialObjectMetadata, len(accounts)), map[types.UID]string{}
	for i, account := range accounts {
		pods[i].UID = types.UID(fmt.Sprint(i))
		known[pods[i].UID] = account
	}
	return pods, known
}

// TestWantedAccounts: each account once, those of the sidecars and of everybody not at all.
func TestWantedAccounts(t *testing.T) {
	server := &v1alpha1.RelayServer{ObjectMeta: metav1.ObjectMeta{Name: "asp1"}}
	pods, known := podsAs("relay", "default", "asp1-sidecar", "relay", "", "web")
	got := wantedAccounts(server, pods, known)
	if diff := cmp.Diff([]string{"relay", "web"}, got.accounts); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	if len(got.asDefault) != 1 || got.asDefault[0].UID != "1" || len(got.beyond) > 0 {
		t.Errorf("refused are %v and %v", got.asDefault, got.beyond)
	}
}

// TestWantedAccountsAreBounded: whoever makes pods under many accounts puts the accounts of older pods out of nothing.
func TestWantedAccountsAreBounded(t *testing.T) {
	accounts := []string{"relay"}
	for i := range 2 * maxPodAccounts {
		accounts = append(accounts, fmt.Sprint("flood-", i))
	}
	pods, known := podsAs(append(accounts, "relay")...)
	got := wantedAccounts(&v1alpha1.RelayServer{}, pods, known)
	if len(got.accounts) != maxPodAccounts || got.accounts[0] != "relay" || len(got.beyond) != maxPodAccounts+1 {
		t.Errorf("%d accounts, the first %s; %d pods get nothing", len(got.accounts), got.accounts[0], len(got.beyond))
	}
}

// TestGrace: an account whose pods are gone keeps its rights for a while, so that a rollout does not make them flap.
func TestGrace(t *testing.T) {
	const grace = 5 * time.Minute
	absent, now := map[string]time.Time{}, noon
	step := func(name string, bound, wanted, want []string, wantWait time.Duration) {
		t.Helper()
		got, wait := withGrace(bound, wanted, absent, now, grace)
		if diff := cmp.Diff(want, got); diff != "" || wait != wantWait {
			t.Errorf("%s: look again after %s, want %s; accounts (-want +got):\n%s", name, wait, wantWait, diff)
		}
	}
	relay, none := []string{"relay"}, []string(nil)
	step("the first pod", none, relay, relay, 0)
	step("the last pod goes", relay, none, relay, grace)
	now = now.Add(4 * time.Minute)
	step("looked at again", relay, none, relay, time.Minute)
	step("the next version's first pod", relay, []string{"relay", "web"}, []string{"relay", "web"}, 0)
	now = now.Add(2 * time.Minute)
	step("its last pod goes", []string{"relay", "web"}, []string{"web"}, []string{"relay", "web"}, grace)
	now = now.Add(grace)
	step("nobody came", []string{"relay", "web"}, []string{"web"}, []string{"web"}, 0)
	step("it is not bound any more", []string{"web"}, []string{"web"}, []string{"web"}, 0)
	if len(absent) > 0 {
		t.Errorf("remembered for nothing: %v", absent)
	}
}

// TestGraceIsBounded: whoever makes pods under ever new accounts makes the RoleBinding no larger than it can be stored.
func TestGraceIsBounded(t *testing.T) {
	absent, bound := map[string]time.Time{}, []string(nil)
	for i := range 3 * maxPodAccounts {
		wanted := []string{"relay", fmt.Sprint("flood-", i)}
		bound, _ = withGrace(bound, wanted, absent, noon, 5*time.Minute)
		if len(bound) > maxPodAccounts || !slices.Contains(bound, wanted[0]) || !slices.Contains(bound, wanted[1]) {
			t.Fatalf("after %d: %d accounts: %v", i, len(bound), bound)
		}
	}
	if len(absent) > maxPodAccounts {
		t.Errorf("%d are remembered", len(absent))
	}
}

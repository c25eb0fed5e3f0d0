package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

func TestOrphanKeys(t *testing.T) {
	shard := func(name string, keys ...string) corev1.Secret {
		secret := corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string][]byte{}}
		for _, key := range keys {
			secret.Data[key] = []byte("{}")
		}
		return secret
	}
	users := []v1alpha1.RelayUser{{ObjectMeta: metav1.ObjectMeta{UID: "a"}}, {ObjectMeta: metav1.ObjectMeta{UID: "c"}}}
	got := orphanKeys([]corev1.Secret{shard("s-1", "a", "b"), shard("s-2", "c"), shard("s-3", "d")}, users)
	want := map[types.NamespacedName][]string{
		{Namespace: "default", Name: "s-1"}: {"b"},
		{Namespace: "default", Name: "s-3"}: {"d"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("orphans (-want +got):\n%s", diff)
	}
}

func TestOrphansAreLeftUntilTheyAreOldEnough(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(noon)
	sweep := &credentialSweep{clock: clock, age: time.Minute, orphans: map[types.NamespacedName]map[string]time.Time{}}
	server, secret := types.NamespacedName{Name: "asp1"}, types.NamespacedName{Name: "asp1-credentials-0"}
	type found = map[types.NamespacedName][]string
	for _, step := range []struct {
		what        string
		at          time.Duration
		found, want found
		wantWaiting bool
	}{
		{"a is first seen without a user", 0, found{secret: {"a"}}, found{}, true},
		{"b is, a little later", 30 * time.Second, found{secret: {"a", "b"}}, found{}, true},
		{"a is old enough", 60 * time.Second, found{secret: {"a", "b"}}, found{secret: {"a"}}, true},
		{"the cache of users has caught up with b", 80 * time.Second, found{}, found{}, false},
		{"b is without a user once more, and counts anew", 100 * time.Second, found{secret: {"b"}}, found{}, true},
		{"b is old enough", 160 * time.Second, found{secret: {"b"}}, found{secret: {"b"}}, false},
	} {
		clock.SetTime(noon.Add(step.at))
		due, waiting := sweep.mature(server, step.found)
		if diff := cmp.Diff(step.want, due); diff != "" || waiting != step.wantWaiting {
			t.Errorf("%s: waiting %v, want %v; due (-want +got):\n%s", step.what, waiting, step.wantWaiting, diff)
		}
	}
	if len(sweep.orphans) != 0 {
		t.Errorf("still kept: %v", sweep.orphans)
	}
}

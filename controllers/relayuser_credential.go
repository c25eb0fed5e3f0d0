package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/credential"
)

// applyCredential stores the credential of a user who is to be served, and withdraws that of any other.
func (r *userReconciler) applyCredential(ctx context.Context, facts userFacts, plan *userPlan) error {
	if !plan.serve {
		// Asked for each time: the cache may not show yet what has just been written. Where there is
		// nothing to remove, the API server stores nothing.
		return removeEntries(ctx, r, shardName(facts.user), []string{credential.Key(facts.user.UID)})
	}
	taken, err := r.ensureCredential(ctx, facts)
	if taken != nil {
		plan.conditions[0] = ready(taken)
		plan.retry = obstacleRetry
	}
	return err
}

// ensureCredential stores the user's hash unless the stored one was made from the same source.
func (r *userReconciler) ensureCredential(ctx context.Context, facts userFacts) (*obstacle, error) {
	shard := &corev1.Secret{}
	err := r.Get(ctx, shardName(facts.user), shard)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("get secret %s: %w", shardName(facts.user), err)
	}
	if err == nil && ownsShard(facts.server, shard) && isCurrent(shard, facts) {
		return nil, nil
	}
	// The cache is behind its own writes; looking costs far less than hashing once more.
	shard, err = r.liveShard(ctx, facts.user)
	switch {
	case err != nil:
		return nil, err
	case shard != nil && !ownsShard(facts.server, shard):
		return shardTaken(facts, shard), nil
	case shard != nil && isCurrent(shard, facts):
		return nil, nil
	}
	hash, err := r.hash(ctx, facts.password)
	if err != nil {
		return nil, fmt.Errorf("hash password of user %s/%s: %w", facts.user.Namespace, facts.user.Name, err)
	}
	value, err := credential.Encode(credential.Entry{Hash: hash.Encoded(), Source: facts.password.source})
	if err != nil {
		return nil, fmt.Errorf("encode credential of user %s/%s: %w", facts.user.Namespace, facts.user.Name, err)
	}
	return r.storeEntry(ctx, facts, shard != nil, value)
}

// storeEntry writes an entry into its Secret, which it makes if need be.
func (r *userReconciler) storeEntry(ctx context.Context, facts userFacts, exists bool, value []byte) (*obstacle, error) {
	if exists {
		return nil, patchEntries(ctx, r, shardName(facts.user), map[string][]byte{credential.Key(facts.user.UID): value})
	}
	secret := newShard(facts.server, facts.user, value)
	err := r.Create(ctx, secret)
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			return nil, fmt.Errorf("create secret %s/%s: %w", secret.Namespace, secret.Name, err)
		}
		return nil, nil
	}
	// Most likely another worker made it for another user.
	shard, err := r.liveShard(ctx, facts.user)
	switch {
	case err != nil:
		return nil, err
	case shard == nil:
		return nil, fmt.Errorf("secret %s/%s was deleted meanwhile", secret.Namespace, secret.Name)
	case !ownsShard(facts.server, shard):
		return shardTaken(facts, shard), nil
	}
	return r.storeEntry(ctx, facts, true, value)
}

// liveShard is the Secret for the user's entry as the API server has it, nil when there is none.
func (r *userReconciler) liveShard(ctx context.Context, user *v1alpha1.RelayUser) (*corev1.Secret, error) {
	shard := &corev1.Secret{}
	err := r.live.Get(ctx, shardName(user), shard)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get secret %s: %w", shardName(user), err)
	}
	return shard, nil
}

func isCurrent(shard *corev1.Secret, facts userFacts) bool {
	entry, err := credential.Decode(shard.Data[credential.Key(facts.user.UID)])
	return err == nil && entry.Source == facts.password.source
}

func shardTaken(facts userFacts, shard *corev1.Secret) *obstacle {
	problem := nameTaken("Secret", shard.Name, facts.server)
	problem.reason = v1alpha1.ReasonServerNotReady
	return problem
}

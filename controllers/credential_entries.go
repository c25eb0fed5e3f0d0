package controllers

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/credential"
)

// A Secret of credentials is written one key at a time, by merge patches that state nothing else and need
// no lock: the entries of other users, which other workers write at the same time, are not touched.

// patchEntries sets the values of keys, and removes those whose value is nil.
func patchEntries(ctx context.Context, c client.Writer, secret types.NamespacedName, values map[string][]byte) error {
	body, err := json.Marshal(map[string]any{"data": values})
	if err != nil {
		return fmt.Errorf("encode patch of secret %s: %w", secret, err)
	}
	object := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name},
	}
	if err := c.Patch(ctx, object, client.RawPatch(types.MergePatchType, body)); err != nil {
		return fmt.Errorf("patch secret %s: %w", secret, err)
	}
	return nil
}

// removeEntries removes entries. What is not there is removed.
func removeEntries(ctx context.Context, c client.Writer, secret types.NamespacedName, keys []string) error {
	values := make(map[string][]byte, len(keys))
	for _, key := range keys {
		values[key] = nil
	}
	return client.IgnoreNotFound(patchEntries(ctx, c, secret, values))
}

// shardName is the Secret that holds a user's entry.
func shardName(user *v1alpha1.RelayUser) types.NamespacedName {
	return types.NamespacedName{
		Namespace: user.Namespace,
		Name:      credential.SecretName(user.Spec.ServerRef.Name, credential.Shard(user.UID)),
	}
}

// newShard is the Secret that holds a user's entry, with that entry only.
func newShard(server *v1alpha1.RelayServer, user *v1alpha1.RelayUser, value []byte) *corev1.Secret {
	secret := emptyShard(server, shardName(user).Name)
	secret.Data = map[string][]byte{credential.Key(user.UID): value}
	return secret
}

// ownsShard says whether a Secret is one of the server's.
func ownsShard(server *v1alpha1.RelayServer, secret *corev1.Secret) bool {
	return metav1.IsControlledBy(secret, server) &&
		hasLabels(secret, secretLabels(server, v1alpha1.SecretTypeCredentials))
}

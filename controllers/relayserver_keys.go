package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/session"
)

func isKeySecret(obj client.Object) bool {
	return obj.GetLabels()[v1alpha1.LabelSecretType] == v1alpha1.SecretTypeKeys
}

// ensureKeys finds or makes the Secret with the server's keys, and returns the id of the fingerprint key.
func (r *serverReconciler) ensureKeys(ctx context.Context, server *v1alpha1.RelayServer) (string, *obstacle, error) {
	secret := &corev1.Secret{}
	name := types.NamespacedName{Namespace: server.Namespace, Name: fingerprint.SecretName(server.Name)}
	err := r.Get(ctx, name, secret)
	if apierrors.IsNotFound(err) {
		// The cache is behind its own writes, and shows only Secrets with our label.
		err = r.live.Get(ctx, name, secret)
	}
	if apierrors.IsNotFound(err) {
		return r.makeKeys(ctx, server)
	}
	if err != nil {
		return "", nil, fmt.Errorf("get secret %s: %w", name, err)
	}
	return r.acceptKeys(ctx, server, secret)
}

// makeKeys makes the keys, once in the life of a server: with other keys, no bound device is recognised.
func (r *serverReconciler) makeKeys(ctx context.Context, server *v1alpha1.RelayServer) (string, *obstacle, error) {
	// Whether there were keys before must not be read from a cache that may be behind.
	current := &v1alpha1.RelayServer{}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(server), current); err != nil {
		return "", nil, fmt.Errorf("get relayserver %s/%s: %w", server.Namespace, server.Name, err)
	}
	if current.UID != server.UID {
		return "", nil, fmt.Errorf("relayserver %s/%s was replaced meanwhile", server.Namespace, server.Name)
	}
	if current.Status.FingerprintKeyID != "" {
		return "", keysMissing(current), nil
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: server.Namespace, Name: fingerprint.SecretName(server.Name),
			Labels: secretLabels(server, v1alpha1.SecretTypeKeys),
		},
		Data: fingerprint.NewSecretData(),
	}
	maps.Copy(secret.Data, session.NewKeys(r.clock.Now()))
	// Of several that try, one creates it and the others fail here and read it the next time.
	if err := r.Create(ctx, secret); err != nil {
		return "", nil, fmt.Errorf("create secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return r.acceptKeys(ctx, server, secret)
}

// The Secret has no owner. It must outlive the RelayServer, as the records of devices do, which are worth nothing
// without it; and in a backup it would name an owner who is gone once it is restored, for which the garbage
// collector deletes it. Who wants other keys deletes it.

// What a person is told about keys has the order that keeps bound devices recognised: a RelayServer that is made before
// its keys are restored makes others, beside which the restored ones take their place.

func keysMissing(server *v1alpha1.RelayServer) *obstacle {
	return &obstacle{v1alpha1.ReasonKeySecretMissing, fmt.Sprintf(
		"Secret %s with the key %s is gone, and devices bound under that key cannot be recognised without it; it is "+
			"not made anew. Keep this RelayServer, and apply the Secret from a backup. Only if there is none: delete "+
			"and re-create the RelayServer, restart its sidecars, and reset every device of its users",
		fingerprint.SecretName(server.Name), server.Status.FingerprintKeyID)}
}

func keysInvalid(secret, why, remedy string) *obstacle {
	return &obstacle{v1alpha1.ReasonKeySecretInvalid, fmt.Sprintf(
		"Secret %s %s. Keep this RelayServer and a copy of the Secret, and %s", secret, why, remedy)}
}

func keysTaken(secret *corev1.Secret, server *v1alpha1.RelayServer) *obstacle {
	remedy := fmt.Sprintf("If it holds this server's keys, from a backup, it needs the labels %s and no "+
		"ownerReferences. If not, copy it before you delete it, or give the RelayServer another name",
		labels.FormatLabels(secretLabels(server, v1alpha1.SecretTypeKeys)))
	return &obstacle{v1alpha1.ReasonNameTaken, fmt.Sprintf(
		"Secret %s exists and does not belong to this RelayServer %s: it is left alone. %s", secret.Name, server.Name, remedy)}
}

// acceptKeys takes a Secret as the server's, if it is.
func (r *serverReconciler) acceptKeys(ctx context.Context, server *v1alpha1.RelayServer, secret *corev1.Secret) (string, *obstacle, error) {
	ring, problem := keysOf(server, secret)
	if problem != nil {
		return "", problem, nil
	}
	if ownedByName(secret, server) || !hasLabels(secret, secretLabels(server, v1alpha1.SecretTypeKeys)) {
		return ring.CurrentID(), nil, r.adopt(ctx, server, secret)
	}
	return ring.CurrentID(), nil, nil
}

// keysOf is what a Secret holds if it is the server's and holds what it must, else what is wrong with it.
func keysOf(server *v1alpha1.RelayServer, secret *corev1.Secret) (*fingerprint.Keyring, *obstacle) {
	// What has lost its labels is known by the key under which devices are bound.
	labelled := hasLabels(secret, secretLabels(server, v1alpha1.SecretTypeKeys)) || holdsKnownKey(server, secret)
	if !labelled || metav1.GetControllerOf(secret) != nil && !ownedByName(secret, server) {
		return nil, keysTaken(secret, server)
	}
	ring, err := fingerprint.ParseKeyring(secret.Data)
	if err != nil {
		return nil, keysInvalid(secret.Name, fmt.Sprintf("cannot be used: %v", err),
			"replace it by one from a backup (kubectl replace)")
	}
	if known := server.Status.FingerprintKeyID; known != "" && !ring.Has(known) {
		return nil, keysInvalid(secret.Name, fmt.Sprintf("does not hold the key %s, under which devices are bound", known),
			"apply the one from a backup, which adds that key (kubectl apply)")
	}
	return ring, nil
}

// ownedByName says whether a Secret names as its owner this server, or one of its name that is gone.
func ownedByName(secret *corev1.Secret, server *v1alpha1.RelayServer) bool {
	owner := metav1.GetControllerOf(secret)
	return owner != nil && owner.Kind == kindRelayServer && owner.Name == server.Name
}

func holdsKnownKey(server *v1alpha1.RelayServer, secret *corev1.Secret) bool {
	ring, err := fingerprint.ParseKeyring(secret.Data)
	return err == nil && server.Status.FingerprintKeyID != "" && ring.Has(server.Status.FingerprintKeyID)
}

// adopt marks a Secret as the server's that has lost its labels, or names an owner.
func (r *serverReconciler) adopt(ctx context.Context, server *v1alpha1.RelayServer, secret *corev1.Secret) error {
	before := secret.DeepCopy()
	secret.OwnerReferences = slices.DeleteFunc(secret.OwnerReferences, func(o metav1.OwnerReference) bool {
		return o.Kind == kindRelayServer && o.Name == server.Name
	})
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	maps.Copy(secret.Labels, secretLabels(server, v1alpha1.SecretTypeKeys))
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Patch(ctx, secret, patch); err != nil {
		return fmt.Errorf("adopt secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return nil
}

package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/credential"
)

// ensureShards makes the Secrets for the credentials of the server's users, all of them and before any
// sidecar may read them: whoever may create Secrets could otherwise make one that is still missing, with a
// hash of their own in it, or have the sidecars read one of somebody else's that has the name.
func (r *serverReconciler) ensureShards(ctx context.Context, server *v1alpha1.RelayServer) (*obstacle, error) {
	var known corev1.SecretList
	err := r.List(ctx, &known, client.InNamespace(server.Namespace),
		client.MatchingLabels(secretLabels(server, v1alpha1.SecretTypeCredentials)), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list credential secrets of %s/%s: %w", server.Namespace, server.Name, err)
	}
	owned := map[string]bool{}
	for i := range known.Items {
		owned[known.Items[i].Name] = ownsShard(server, &known.Items[i])
	}
	for _, name := range credential.SecretNames(server.Name) {
		if owned[name] {
			continue
		}
		if taken, err := r.makeShard(ctx, server, name); taken != nil || err != nil {
			return taken, err
		}
	}
	return nil, nil
}

// makeShard makes one Secret, unless it is there already and the cache is only behind.
func (r *serverReconciler) makeShard(ctx context.Context, server *v1alpha1.RelayServer, name string) (*obstacle, error) {
	secret := emptyShard(server, name)
	err := r.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		err = r.live.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	}
	if err != nil {
		return nil, fmt.Errorf("make secret %s/%s: %w", server.Namespace, name, err)
	}
	if !ownsShard(server, secret) {
		return nameTaken("Secret", name, server), nil
	}
	return nil, nil
}

func emptyShard(server *v1alpha1.RelayServer, name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: server.Namespace, Name: name,
		Labels:          secretLabels(server, v1alpha1.SecretTypeCredentials),
		OwnerReferences: []metav1.OwnerReference{serverReference(server)},
	}}
}

// shardGoes passes the deletion of Secrets of credentials. One that was restored from a backup names an owner who is
// gone, and is in the way until the garbage collector has taken it.
func shardGoes() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
		DeleteFunc: func(e event.DeleteEvent) bool {
			return e.Object.GetLabels()[v1alpha1.LabelSecretType] == v1alpha1.SecretTypeCredentials
		},
	}
}

package controllers

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/nas"
)

// isRADIUSCopy picks the Secrets that the sidecars read shared secrets from.
func isRADIUSCopy(obj client.Object) bool {
	return obj.GetLabels()[v1alpha1.LabelSecretType] == v1alpha1.SecretTypeRADIUSClients
}

// isRADIUSSecret picks the Secrets that hold what is shared with one client.
func isRADIUSSecret(obj client.Object) bool {
	return obj.GetLabels()[v1alpha1.LabelSecretType] == v1alpha1.SecretTypeRADIUS
}

// enqueueServersOfClient asks for the servers with a client whose shared secret is in a Secret.
func (r *serverReconciler) enqueueServersOfClient() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		var servers v1alpha1.RelayServerList
		err := r.List(ctx, &servers, client.InNamespace(obj.GetNamespace()),
			client.MatchingFields{indexServerRADIUS: obj.GetName()}, client.UnsafeDisableDeepCopy)
		if err != nil {
			log.FromContext(ctx).Error(err, "Servers of a RADIUS client's Secret were not looked at")
		}
		requests := make([]reconcile.Request, len(servers.Items))
		for i := range servers.Items {
			requests[i] = request(servers.Items[i].Namespace, servers.Items[i].Name)
		}
		return requests
	})
}

// radiusSecretNames are the Secrets that a server's RADIUS clients name.
func radiusSecretNames(server *v1alpha1.RelayServer) []string {
	if server.Spec.RADIUS == nil {
		return nil
	}
	var names []string
	for i := range server.Spec.RADIUS.Clients {
		if ref := server.Spec.RADIUS.Clients[i].SecretRef; ref != nil {
			names = append(names, ref.Name)
		}
	}
	return names
}

// ensureRADIUS makes the Secret with the shared secrets of the server's RADIUS clients, even when it has none:
// the sidecars' Role names it, and nobody else may make it. What is wrong with single secrets is told, and the
// other clients are served.
func (r *serverReconciler) ensureRADIUS(ctx context.Context, server *v1alpha1.RelayServer, found *serverFindings) (*obstacle, error) {
	secrets, problem, err := r.sharedSecrets(ctx, server)
	if err != nil {
		return nil, err
	}
	taken, err := r.copyShared(ctx, server, secrets)
	if taken != nil || err != nil {
		return taken, err
	}
	found.radius = radiusReady(server, problem)
	if problem != nil {
		// A Secret without our label tells nothing when it comes or goes.
		found.wait = earliest(found.wait, obstacleRetry)
	}
	return nil, nil
}

// sharedSecrets are those that can be used, by client, and the first problem with one that cannot.
func (r *serverReconciler) sharedSecrets(ctx context.Context, server *v1alpha1.RelayServer) (map[string][]byte, *obstacle, error) {
	if server.Spec.RADIUS == nil {
		return nil, nil, nil
	}
	var first *obstacle
	secrets := map[string][]byte{}
	for i := range server.Spec.RADIUS.Clients {
		c := &server.Spec.RADIUS.Clients[i]
		if c.SecretRef == nil {
			continue
		}
		value, problem, err := r.sharedSecret(ctx, types.NamespacedName{Namespace: server.Namespace, Name: c.SecretRef.Name})
		switch {
		case err != nil:
			return nil, nil, err
		case problem == nil:
			secrets[c.Name] = value
		case first == nil:
			first = &obstacle{problem.reason, fmt.Sprintf("RADIUS client %s is not served: %s", c.Name, problem.message)}
		}
	}
	return secrets, first, nil
}

// sharedSecret reads one client's Secret. One without our label, which the cache does not show, is none of our
// business: only its metadata are read.
func (r *serverReconciler) sharedSecret(ctx context.Context, name types.NamespacedName) ([]byte, *obstacle, error) {
	secret := &corev1.Secret{}
	err := r.Get(ctx, name, secret)
	if apierrors.IsNotFound(err) {
		found := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
		err = r.live.Get(ctx, name, found)
		if apierrors.IsNotFound(err) {
			return nil, &obstacle{v1alpha1.ReasonRADIUSSecretNotFound,
				fmt.Sprintf("there is no Secret %s in namespace %s", name.Name, name.Namespace)}, nil
		}
		if err == nil && !isRADIUSSecret(found) {
			return nil, notLabelledRADIUS(found), nil
		}
		if err == nil {
			err = r.live.Get(ctx, name, secret) // the cache is behind
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("get secret %s: %w", name, err)
	}
	if !isRADIUSSecret(secret) {
		return nil, notLabelledRADIUS(secret), nil
	}
	value, err := nas.ParseSecret(secret.Data)
	if err != nil {
		return nil, &obstacle{v1alpha1.ReasonRADIUSSecretRefused, fmt.Sprintf("Secret %s cannot be used: %v", secret.Name, err)}, nil
	}
	return value, nil, nil
}

func notLabelledRADIUS(secret client.Object) *obstacle {
	if secret.GetLabels()[v1alpha1.LabelSecretType] != "" {
		return &obstacle{v1alpha1.ReasonRADIUSSecretNotLabelled, fmt.Sprintf(
			"Secret %s is labelled as something else; put the shared secret into another", secret.GetName())}
	}
	return &obstacle{v1alpha1.ReasonRADIUSSecretNotLabelled, fmt.Sprintf(
		"Secret %s does not have the label that permits its use; if it is meant to hold a RADIUS client's shared secret: "+
			"kubectl label secret -n %s %s %s=%s", secret.GetName(), secret.GetNamespace(), secret.GetName(),
		v1alpha1.LabelSecretType, v1alpha1.SecretTypeRADIUS)}
}

// copyShared writes the Secret that the sidecars read.
func (r *serverReconciler) copyShared(ctx context.Context, server *v1alpha1.RelayServer, secrets map[string][]byte) (*obstacle, error) {
	secret := &corev1.Secret{}
	name := types.NamespacedName{Namespace: server.Namespace, Name: nas.SecretName(server.Name)}
	err := r.Get(ctx, name, secret)
	if apierrors.IsNotFound(err) {
		// The cache is behind its own writes, and shows only Secrets with our label.
		err = r.live.Get(ctx, name, secret)
	}
	labels := secretLabels(server, v1alpha1.SecretTypeRADIUSClients)
	switch {
	case apierrors.IsNotFound(err):
		secret = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: name.Namespace, Name: name.Name, Labels: labels,
				OwnerReferences: []metav1.OwnerReference{serverReference(server)},
			},
			Data: secrets,
		}
		if err := r.Create(ctx, secret); err != nil {
			return nil, fmt.Errorf("create secret %s: %w", name, err)
		}
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("get secret %s: %w", name, err)
	case !metav1.IsControlledBy(secret, server):
		return nameTaken("Secret", name.Name, server), nil
	case hasLabels(secret, labels) && maps.EqualFunc(secret.Data, secrets, bytes.Equal):
		return nil, nil
	}
	before := secret.DeepCopy()
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	maps.Copy(secret.Labels, labels)
	secret.Data = secrets
	if err := r.Patch(ctx, secret, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return nil, fmt.Errorf("write secret %s: %w", name, err)
	}
	return nil, nil
}

// radiusReady is nil for a server that has nothing to do with RADIUS.
func radiusReady(server *v1alpha1.RelayServer, problem *obstacle) *condition {
	var c condition
	switch {
	case server.Spec.RADIUS == nil:
		return nil
	case problem != nil:
		c = isNot(v1alpha1.ConditionRADIUSReady, problem.reason, problem.message)
	default:
		c = is(v1alpha1.ConditionRADIUSReady, v1alpha1.ReasonRADIUSSecretsReady, "the shared secret of every RADIUS client is at hand")
	}
	return &c
}

// reportRADIUS writes the condition, or takes away that of a server that has it no more. When something else was
// in the way, what was said before stays.
func (r *serverReconciler) reportRADIUS(server *v1alpha1.RelayServer, found serverFindings) {
	switch {
	case found.radius != nil:
		set(&server.Status.Conditions, server.Generation, metav1.NewTime(r.clock.Now()), *found.radius)
	case server.Spec.RADIUS == nil:
		meta.RemoveStatusCondition(&server.Status.Conditions, v1alpha1.ConditionRADIUSReady)
	}
}

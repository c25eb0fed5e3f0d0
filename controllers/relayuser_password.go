package controllers

import (
	"bytes"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/password"
)

// Keys of a Secret with a password.
const (
	keyPassword     = "password"
	keyPasswordHash = "passwordHash"
	keyUserName     = "userName"
)

// passwordFacts are where a user's credential comes from, or why it cannot.
type passwordFacts struct {
	problem *obstacle
	// source identifies the Secret and its version.
	source string
	// One of the two is set unless there is a problem.
	plain   []byte
	encoded string
}

func refuse(reason, format string, args ...any) passwordFacts {
	return passwordFacts{problem: &obstacle{reason, fmt.Sprintf(format, args...)}}
}

// passwordSecretName is the Secret that holds the user's password, or is to hold a temporary one.
func passwordSecretName(user *v1alpha1.RelayUser) string {
	if user.Spec.Password != nil {
		return user.Spec.Password.SecretRef.Name
	}
	return user.Name + "-temporary-password"
}

// readPassword finds the user's password, and makes a temporary one if the user names none.
func (r *userReconciler) readPassword(ctx context.Context, user *v1alpha1.RelayUser) (passwordFacts, error) {
	secret := &corev1.Secret{}
	name := types.NamespacedName{Namespace: user.Namespace, Name: passwordSecretName(user)}
	err := r.Get(ctx, name, secret)
	switch {
	case apierrors.IsNotFound(err) && user.Spec.Password != nil:
		return r.explainMissing(ctx, user, name)
	case apierrors.IsNotFound(err):
		return r.makeTemporary(ctx, user)
	case err != nil:
		return passwordFacts{}, fmt.Errorf("get secret %s: %w", name, err)
	}
	return checkSecret(user, secret), nil
}

// explainMissing tells a Secret that is not there from one that the cache does not show because its owner
// has not agreed by the label. Only its metadata are read: what is in it is none of our business yet.
func (r *userReconciler) explainMissing(ctx context.Context, user *v1alpha1.RelayUser, name types.NamespacedName) (passwordFacts, error) {
	found := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
	err := r.live.Get(ctx, name, found)
	switch {
	case apierrors.IsNotFound(err):
		return refuse(v1alpha1.ReasonPasswordSecretNotFound, "there is no Secret %s in namespace %s", name.Name, name.Namespace), nil
	case err != nil:
		return passwordFacts{}, fmt.Errorf("get secret %s: %w", name, err)
	case found.Labels[v1alpha1.LabelSecretType] != v1alpha1.SecretTypePassword:
		return notLabelled(found), nil
	}
	secret := &corev1.Secret{} // the cache is behind
	if err := r.live.Get(ctx, name, secret); err != nil {
		return passwordFacts{}, fmt.Errorf("get secret %s: %w", name, err)
	}
	return checkSecret(user, secret), nil
}

// notLabelled tells how to label a Secret.
func notLabelled(secret client.Object) passwordFacts {
	overwrite := ""
	switch secret.GetLabels()[v1alpha1.LabelSecretType] {
	case v1alpha1.SecretTypeKeys, v1alpha1.SecretTypeCredentials, v1alpha1.SecretTypeRADIUSClients, v1alpha1.SecretTypeBindings:
		return refuse(v1alpha1.ReasonPasswordSecretNotLabelled,
			"Secret %s is one of Tegata's own; put the password into another", secret.GetName())
	case "":
	default:
		overwrite = " --overwrite"
	}
	return refuse(v1alpha1.ReasonPasswordSecretNotLabelled,
		"Secret %s does not have the label that permits its use; if it is meant to hold this user's password: "+
			"kubectl label secret -n %s %s %s=%s%s", secret.GetName(), secret.GetNamespace(), secret.GetName(),
		v1alpha1.LabelSecretType, v1alpha1.SecretTypePassword, overwrite)
}

// makeTemporary makes the Secret with a temporary password, unless it is there and the cache is behind.
func (r *userReconciler) makeTemporary(ctx context.Context, user *v1alpha1.RelayUser) (passwordFacts, error) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: user.Namespace, Name: passwordSecretName(user),
			Labels:          map[string]string{v1alpha1.LabelSecretType: v1alpha1.SecretTypePassword},
			OwnerReferences: []metav1.OwnerReference{ownerReference(user, kindRelayUser)},
		},
		Data: map[string][]byte{
			keyPassword: []byte(password.Generate()),
			keyUserName: []byte(user.LoginName()),
		},
	}
	err := r.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		name := client.ObjectKeyFromObject(secret)
		secret = &corev1.Secret{}
		err = r.live.Get(ctx, name, secret)
	}
	if err != nil {
		return passwordFacts{}, fmt.Errorf("make temporary password %s/%s: %w", user.Namespace, passwordSecretName(user), err)
	}
	return checkSecret(user, secret), nil
}

// checkSecret reads a Secret that the user names, or that holds the user's temporary password.
func checkSecret(user *v1alpha1.RelayUser, secret *corev1.Secret) passwordFacts {
	if user.Spec.Password == nil && !metav1.IsControlledBy(secret, user) {
		return refuse(v1alpha1.ReasonPasswordSecretTaken,
			"Secret %s, which would hold a temporary password, exists and does not belong to this user; "+
				"delete it, or name it in spec.password.secretRef", secret.Name)
	}
	if secret.Labels[v1alpha1.LabelSecretType] != v1alpha1.SecretTypePassword {
		return notLabelled(secret)
	}
	if owner := metav1.GetControllerOf(secret); owner != nil && owner.Kind == kindRelayUser && owner.UID != user.UID {
		return refuse(v1alpha1.ReasonPasswordRefused,
			"Secret %s holds the temporary password of RelayUser %s: name a Secret of this user's own", secret.Name, owner.Name)
	}
	facts, err := parseSecret(secret)
	if err != nil {
		return refuse(v1alpha1.ReasonPasswordRefused, "Secret %s cannot be used: %v", secret.Name, err)
	}
	return facts
}

// parseSecret reads the password or its hash. Its errors quote neither.
func parseSecret(secret *corev1.Secret) (passwordFacts, error) {
	facts := passwordFacts{source: fmt.Sprintf("%s/%s", secret.UID, secret.ResourceVersion)}
	plain, hasPlain := secret.Data[keyPassword]
	encoded, hasHash := secret.Data[keyPasswordHash]
	switch {
	case hasPlain && hasHash:
		return facts, fmt.Errorf("it has both the keys %s and %s: keep one", keyPassword, keyPasswordHash)
	case hasPlain:
		facts.plain = trimNewline(plain)
		return facts, password.CheckPlain(facts.plain)
	case hasHash:
		facts.encoded = string(trimNewline(encoded))
		_, err := password.Parse(facts.encoded)
		return facts, err
	}
	return facts, fmt.Errorf("it has neither the key %s nor the key %s", keyPassword, keyPasswordHash)
}

// trimNewline drops the line break that an editor or echo leaves at the end of a file.
func trimNewline(value []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
}

// hash computes the hash, or takes it over.
func (r *userReconciler) hash(ctx context.Context, facts passwordFacts) (password.Hash, error) {
	if facts.encoded != "" {
		return password.Parse(facts.encoded)
	}
	passwordHashes.Inc()
	return r.hasher.Hash(ctx, facts.plain)
}

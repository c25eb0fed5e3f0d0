package passwd

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// The keys of a Secret with a password. It may have one of the two.
const (
	keyPassword     = "password"
	keyPasswordHash = "passwordHash"
)

const kindRelayUser = "RelayUser"

// target is where a password goes.
type target struct {
	name string
	// secret is what is there; nil when it has to be made.
	secret *corev1.Secret
	// isNew says that the user does not name it yet.
	isNew bool
	// leavesTemporary says that a temporary password stays behind.
	leavesTemporary bool
}

// target finds the Secret that the user names, or the one that it will name.
func (o *options) target(ctx context.Context, user *v1alpha1.RelayUser) (*target, error) {
	t := &target{name: user.Name + "-password", isNew: user.Spec.Password == nil}
	if !t.isNew {
		t.name = user.Spec.Password.SecretRef.Name
	}
	secret := &corev1.Secret{}
	err := o.client.Get(ctx, client.ObjectKey{Namespace: user.Namespace, Name: t.name}, secret)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("get secret %s: %w", t.name, err)
	default:
		t.secret = secret
		if err := t.check(user); err != nil {
			return nil, err
		}
	}
	if t.isNew {
		t.leavesTemporary = o.hasTemporary(ctx, user)
		return t, nil
	}
	return t, o.checkShared(ctx, user, t.name)
}

// check refuses a Secret that is not meant for this user's password. The label is its owner's word.
func (t *target) check(user *v1alpha1.RelayUser) error {
	if label := t.secret.Labels[v1alpha1.LabelSecretType]; label != v1alpha1.SecretTypePassword {
		return fmt.Errorf("the Secret %s exists without the label that permits its use; if it is meant to hold this user's password: "+
			"kubectl label secret %s -n %s %s=%s", t.name, t.name, user.Namespace, v1alpha1.LabelSecretType, v1alpha1.SecretTypePassword)
	}
	owner := metav1.GetControllerOf(t.secret)
	if owner != nil && owner.Kind == kindRelayUser && owner.UID != user.UID {
		return fmt.Errorf("the Secret %s holds the temporary password of RelayUser %s: name another in spec.password.secretRef", t.name, owner.Name)
	}
	if t.isNew && !owns(user, t.secret) {
		return fmt.Errorf("the Secret %s exists, and is not known to be this user's: if it is, name it in spec.password.secretRef of RelayUser %s", t.name, user.Name)
	}
	return nil
}

func owns(user *v1alpha1.RelayUser, secret *corev1.Secret) bool {
	for _, owner := range secret.OwnerReferences {
		if owner.UID == user.UID {
			return true
		}
	}
	return false
}

// checkShared refuses to change the password of others who name the same Secret.
func (o *options) checkShared(ctx context.Context, user *v1alpha1.RelayUser, secret string) error {
	err := o.EachUser(ctx, o.client, func(other *v1alpha1.RelayUser) error {
		if other.UID != user.UID && other.Spec.Password != nil && other.Spec.Password.SecretRef.Name == secret {
			return fmt.Errorf("the Secret %s is also the password of RelayUser %s: name one of its own in spec.password.secretRef of %s", secret, other.Name, user.Name)
		}
		return nil
	})
	if apierrors.IsForbidden(err) {
		return nil // who may not list users is let change what they may
	}
	return err
}

func (o *options) hasTemporary(ctx context.Context, user *v1alpha1.RelayUser) bool {
	temporary := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
	err := o.client.Get(ctx, client.ObjectKey{Namespace: user.Namespace, Name: temporaryName(user)}, temporary)
	return err == nil && metav1.IsControlledBy(temporary, user)
}

// write writes the hash, and then has the user name the Secret: till then the old password holds.
func (o *options) write(ctx context.Context, user *v1alpha1.RelayUser, t *target, hash password.Hash) error {
	if err := o.writeSecret(ctx, user, t, hash); err != nil {
		return err
	}
	if !t.isNew {
		return nil
	}
	before := user.DeepCopy()
	user.Spec.Password = &v1alpha1.PasswordSource{SecretRef: v1alpha1.LocalReference{Name: t.name}}
	err := o.client.Patch(ctx, user, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(shell.FieldOwner))
	if apierrors.IsConflict(err) { // status changes with each login: what matters is that it still names no Secret
		return o.writeReference(ctx, user, t.name)
	}
	if err != nil {
		return fmt.Errorf("name Secret %s in relayuser %s: %w", t.name, user.Name, err)
	}
	return nil
}

// writeReference tries again on the user as it is now.
func (o *options) writeReference(ctx context.Context, user *v1alpha1.RelayUser, secret string) error {
	current := &v1alpha1.RelayUser{}
	if err := o.client.Get(ctx, client.ObjectKeyFromObject(user), current); err != nil {
		return fmt.Errorf("get relayuser %s: %w", user.Name, err)
	}
	if current.Spec.Password != nil {
		return fmt.Errorf("relayuser %s names another Secret now (%s): the password was not set", user.Name, current.Spec.Password.SecretRef.Name)
	}
	before := current.DeepCopy()
	current.Spec.Password = &v1alpha1.PasswordSource{SecretRef: v1alpha1.LocalReference{Name: secret}}
	if err := o.client.Patch(ctx, current, client.MergeFrom(before), client.FieldOwner(shell.FieldOwner)); err != nil {
		return fmt.Errorf("name Secret %s in relayuser %s: %w", secret, user.Name, err)
	}
	return nil
}

func (o *options) writeSecret(ctx context.Context, user *v1alpha1.RelayUser, t *target, hash password.Hash) error {
	if t.secret == nil {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: user.Namespace, Name: t.name,
				Labels: map[string]string{v1alpha1.LabelSecretType: v1alpha1.SecretTypePassword},
				// Not as its controller: a Secret that a user controls is a temporary password.
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: v1alpha1.GroupVersion.String(), Kind: kindRelayUser, Name: user.Name, UID: user.UID,
				}},
			},
			Data: map[string][]byte{keyPasswordHash: []byte(hash.Encoded())},
		}
		if err := o.client.Create(ctx, secret, client.FieldOwner(shell.FieldOwner)); err != nil {
			return fmt.Errorf("create secret %s: %w", t.name, err)
		}
		return nil
	}
	before := t.secret.DeepCopy()
	if t.secret.Data == nil {
		t.secret.Data = map[string][]byte{}
	}
	delete(t.secret.Data, keyPassword)
	t.secret.Data[keyPasswordHash] = []byte(hash.Encoded())
	// With the lock: two people who set a password at once do not both believe that theirs holds.
	err := o.client.Patch(ctx, t.secret, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(shell.FieldOwner))
	if err != nil {
		return fmt.Errorf("patch secret %s: %w", t.name, err)
	}
	return nil
}

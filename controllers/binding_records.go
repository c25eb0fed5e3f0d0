package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/bindingrecord"
	"github.com/tegata-dev/tegata/internal/loginname"
)

// recordAttempts is how often a record is tried to be written while other users' are written beside it.
const recordAttempts = 8

// recordBook reads and writes the second record of what users' statuses say of devices.
//
// Every write is made under the resourceVersion of the Secret that it was judged by. A cache that is behind can so
// only cost a second look, and what must not be missed (that there is a record) is asked of the API server.
type recordBook struct {
	client.Client
	live client.Reader
}

// recordRefusedError says why a record cannot be read or written before somebody has done something about it.
type recordRefusedError struct{ why string }

func (e *recordRefusedError) Error() string { return e.why }

// recordPage is the Secret with a user's record.
type recordPage struct {
	name          types.NamespacedName
	server, login string
	secret        *corev1.Secret // nil when there is none
	// current says that the API server was asked.
	current bool
}

func (b *recordBook) page(ctx context.Context, user *v1alpha1.RelayUser) (*recordPage, error) {
	login, err := loginname.Normalize(user.LoginName())
	if err != nil {
		return nil, fmt.Errorf("record of user %s/%s: %w", user.Namespace, user.Name, err)
	}
	server := user.Spec.ServerRef.Name
	p := &recordPage{
		name:   types.NamespacedName{Namespace: user.Namespace, Name: bindingrecord.SecretName(server, login)},
		server: server, login: login,
	}
	secret := &corev1.Secret{}
	err = b.Get(ctx, p.name, secret)
	switch {
	case err == nil && hasLabels(secret, recordLabels(server)):
		p.secret = secret
	case client.IgnoreNotFound(err) != nil:
		return nil, fmt.Errorf("get secret %s: %w", p.name, err)
	}
	return p, nil
}

func recordLabels(server string) map[string]string {
	return map[string]string{
		v1alpha1.LabelRelayServer: server,
		v1alpha1.LabelSecretType:  v1alpha1.SecretTypeBindings,
	}
}

// refresh asks the API server, for the whole Secret only if the cache has another version of it.
func (b *recordBook) refresh(ctx context.Context, p *recordPage) error {
	found := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
	err := b.live.Get(ctx, p.name, found)
	switch {
	case apierrors.IsNotFound(err):
		p.secret, p.current = nil, true
		return nil
	case err != nil:
		return fmt.Errorf("get secret %s: %w", p.name, err)
	case !hasLabels(found, recordLabels(p.server)):
		return &recordRefusedError{fmt.Sprintf("Secret %s, which holds records of devices, does not have the labels %s=%s and %s=%s: "+
			"if it is one from a backup, label it; if not, delete it", p.name.Name, v1alpha1.LabelRelayServer, p.server,
			v1alpha1.LabelSecretType, v1alpha1.SecretTypeBindings)}
	}
	p.current = true
	if p.secret != nil && p.secret.UID == found.UID && p.secret.ResourceVersion == found.ResourceVersion {
		return nil
	}
	secret := &corev1.Secret{}
	if err := b.live.Get(ctx, p.name, secret); err != nil {
		return fmt.Errorf("get secret %s: %w", p.name, err)
	}
	p.secret = secret
	return nil
}

// record is what the page says of the user; nil when it says nothing.
func (p *recordPage) record() (*bindingrecord.Record, error) {
	if p.secret == nil || p.secret.Data[bindingrecord.Key(p.login)] == nil {
		return nil, nil
	}
	return bindingrecord.Decode(p.secret.Data[bindingrecord.Key(p.login)], p.login)
}

// put stores a record, or removes it when value is nil. That somebody has written the Secret meanwhile is a conflict.
func (b *recordBook) put(ctx context.Context, p *recordPage, value []byte) error {
	if p.secret == nil {
		return p.refused(b.create(ctx, p, value))
	}
	err := patchSecret(ctx, b, p.secret, map[string][]byte{bindingrecord.Key(p.login): value})
	if apierrors.IsNotFound(err) {
		return conflicting(p)
	}
	return p.refused(err)
}

// patchSecret sets the values of keys, and removes those whose value is nil, in a Secret as it was read.
func patchSecret(ctx context.Context, c client.Writer, secret *corev1.Secret, values map[string][]byte) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": secret.ResourceVersion, "uid": secret.UID},
		"data":     values,
	})
	if err != nil {
		return fmt.Errorf("encode patch of secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	object := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name},
	}
	if err := c.Patch(ctx, object, client.RawPatch(types.MergePatchType, body)); err != nil {
		return fmt.Errorf("patch secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return nil
}

// create makes the Secret. It has no owner: it must outlive the RelayServer, and in a backup that is restored it would
// name one that is gone, for which the garbage collector deletes it.
func (b *recordBook) create(ctx context.Context, p *recordPage, value []byte) error {
	err := b.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.name.Namespace, Name: p.name.Name, Labels: recordLabels(p.server)},
		Data:       map[string][]byte{bindingrecord.Key(p.login): value},
	})
	if apierrors.IsAlreadyExists(err) {
		return conflicting(p)
	}
	return err
}

func conflicting(p *recordPage) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, p.name.Name, errors.New("it came or went meanwhile"))
}

// refused tells what trying again does not mend from what it does.
func (p *recordPage) refused(err error) error {
	switch {
	case err == nil || apierrors.IsConflict(err):
		return err
	case apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsForbidden(err):
		return &recordRefusedError{fmt.Sprintf("Secret %s cannot be written: %s", p.name.Name, apierrors.ReasonForError(err))}
	}
	return fmt.Errorf("write secret %s: %w", p.name, err)
}

// write stores a user's record as the user is.
func (b *recordBook) write(ctx context.Context, p *recordPage, user *v1alpha1.RelayUser) error {
	value, err := bindingrecord.Encode(bindingrecord.New(user, p.login))
	if err != nil {
		return &recordRefusedError{err.Error()}
	}
	return b.put(ctx, p, value)
}

// settle brings record and status of the user who is served under a login name in line. It writes the record, and
// returns the slots that are to be restored to the status, nil when it is as it should be. While no server is there,
// no record is begun.
func (b *recordBook) settle(ctx context.Context, user *v1alpha1.RelayUser, serverKnown bool) ([]v1alpha1.SlotStatus, error) {
	p, err := b.page(ctx, user)
	for range recordAttempts {
		if err != nil {
			return nil, err
		}
		stored, unreadable := p.record()
		lost := len(bindingrecord.Of(&user.Status)) == 0
		action := bindingrecord.Judge(user, p.login, stored)
		switch {
		case !p.current && (action == bindingrecord.Restore || action == bindingrecord.Forget || lost):
			err = b.refresh(ctx, p)
			continue
		case unreadable != nil && lost:
			return nil, &recordRefusedError{fmt.Sprintf("Secret %s: %v", p.name.Name, unreadable)}
		case action == bindingrecord.Restore:
			return stored.Slots, nil
		case action == bindingrecord.Nothing && unreadable == nil || stored == nil && unreadable == nil && !serverKnown:
			return nil, nil
		case action == bindingrecord.Forget:
			err = b.put(ctx, p, nil)
		default:
			if err = b.write(ctx, p, user); err == nil {
				return nil, nil
			}
		}
		if err == nil || apierrors.IsConflict(err) {
			err = b.refresh(ctx, p)
		}
	}
	return nil, conflicting(p)
}

// ahead writes the record of a user whose status is about to become so by a reset. Whoever may be served under the
// login name is asked before.
func (b *recordBook) ahead(ctx context.Context, user *v1alpha1.RelayUser, serverKnown bool) error {
	p, err := b.page(ctx, user)
	for range recordAttempts {
		if err != nil {
			return err
		}
		stored, unreadable := p.record()
		if stored == nil && unreadable == nil && !serverKnown || !bindingrecord.Ahead(user, p.login, stored) {
			return nil
		}
		if err = b.write(ctx, p, user); err == nil {
			return nil
		}
		if apierrors.IsConflict(err) {
			err = b.refresh(ctx, p)
		}
	}
	return conflicting(p)
}

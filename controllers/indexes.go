package controllers

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/bindingrecord"
	"github.com/tegata-dev/tegata/internal/loginname"
)

// Indexes of the cache. Each is looked up within a namespace.
const (
	// indexUserServer finds the users of a server.
	indexUserServer = "tegata/server"
	// indexUserLogin finds the users who claim one login name: see loginKey.
	indexUserLogin = "tegata/login"
	// indexUserPassword finds the users whose password is in a Secret, by its name.
	indexUserPassword = "tegata/password-secret"
	// indexUserRecord finds the users who claim a login name by the key of its record: see recordKey.
	indexUserRecord = "tegata/record"
	// indexUserUID finds a user by UID.
	indexUserUID = "tegata/uid"

	// indexServerRADIUS finds the servers with a RADIUS client whose shared secret is in a Secret, by its name.
	indexServerRADIUS = "tegata/radius-secret"

	// indexResetUser finds unfinished resets by the user that they name.
	indexResetUser = "tegata/user"
	// indexResetSelecting finds resets whose selector has not picked anybody yet, under the key selecting.
	indexResetSelecting = "tegata/selecting"
	selecting           = "yes"
	// indexResetEnforcing finds resets that wait for the sidecars of a server.
	indexResetEnforcing = "tegata/enforcing"
)

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for field, keys := range map[string]func(*v1alpha1.RelayUser) []string{
		indexUserServer:   func(u *v1alpha1.RelayUser) []string { return []string{u.Spec.ServerRef.Name} },
		indexUserLogin:    loginKeys,
		indexUserRecord:   recordKeys,
		indexUserPassword: func(u *v1alpha1.RelayUser) []string { return []string{passwordSecretName(u)} },
		indexUserUID:      func(u *v1alpha1.RelayUser) []string { return []string{string(u.UID)} },
	} {
		if err := addIndex(ctx, indexer, &v1alpha1.RelayUser{}, field, keys); err != nil {
			return err
		}
	}
	if err := addIndex(ctx, indexer, &v1alpha1.RelayServer{}, indexServerRADIUS, radiusSecretNames); err != nil {
		return err
	}
	for field, keys := range map[string]func(*v1alpha1.DeviceReset) []string{
		indexResetUser:      resetUserKeys,
		indexResetSelecting: resetSelectingKeys,
		indexResetEnforcing: resetEnforcingKeys,
	} {
		if err := addIndex(ctx, indexer, &v1alpha1.DeviceReset{}, field, keys); err != nil {
			return err
		}
	}
	return nil
}

func addIndex[T client.Object](ctx context.Context, indexer client.FieldIndexer, kind T, field string, keys func(T) []string) error {
	err := indexer.IndexField(ctx, kind, field, func(obj client.Object) []string {
		if typed, ok := obj.(T); ok {
			return keys(typed)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("index %T by %s: %w", kind, field, err)
	}
	return nil
}

// loginKey is shared by all users of a server who claim one login name. A server's name has no slash.
func loginKey(server, normalised string) string { return server + "/" + normalised }

func loginKeys(u *v1alpha1.RelayUser) []string {
	name, err := loginname.Normalize(u.LoginName())
	if err != nil {
		return nil
	}
	return []string{loginKey(u.Spec.ServerRef.Name, name)}
}

// recordKey is where the record of a login name is: at one server, under a key.
func recordKey(server, key string) string { return server + "/" + key }

func recordKeys(u *v1alpha1.RelayUser) []string {
	name, err := loginname.Normalize(u.LoginName())
	if err != nil {
		return nil
	}
	return []string{recordKey(u.Spec.ServerRef.Name, bindingrecord.Key(name))}
}

func resetUserKeys(r *v1alpha1.DeviceReset) []string {
	if finished(r) || r.Spec.UserRef == nil {
		return nil
	}
	return []string{r.Spec.UserRef.Name}
}

func resetSelectingKeys(r *v1alpha1.DeviceReset) []string {
	if finished(r) || r.Spec.Selector == nil || r.Status.Users > 0 {
		return nil
	}
	return []string{selecting}
}

func resetEnforcingKeys(r *v1alpha1.DeviceReset) []string {
	if finished(r) {
		return nil
	}
	servers := make([]string, 0, len(r.Status.Enforcement))
	for _, e := range r.Status.Enforcement {
		servers = append(servers, e.Server)
	}
	return servers
}

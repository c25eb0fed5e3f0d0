package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

const benchNamespace = "bench"

func userName(i int) string { return fmt.Sprintf("user-%06d", i) }

// deviceOf is what the i-th user's device says of itself.
func deviceOf(i int) string { return fmt.Sprintf("device-fingerprint-%06d", i) }

func digestOf(ring *fingerprint.Keyring, raw string) (v1alpha1.DeviceDigest, error) {
	f, err := fingerprint.ParseOpaque(raw)
	if err != nil {
		return "", err
	}
	return v1alpha1.DeviceDigest(ring.Device(f).Digests[0]), nil
}

func newKeys() (map[string][]byte, *fingerprint.Keyring, error) {
	data := fingerprint.NewSecretData()
	maps.Copy(data, session.NewKeys(time.Now()))
	ring, err := fingerprint.ParseKeyring(data)
	return data, ring, err
}

// boundSlot is a slot with a device that has logged in just now.
func boundSlot(slot v1alpha1.Slot, digest v1alpha1.DeviceDigest) v1alpha1.SlotStatus {
	now := metav1.Now()
	return v1alpha1.SlotStatus{
		Slot: slot, State: v1alpha1.SlotRegistered,
		Binding: &v1alpha1.Binding{
			ID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Digest: digest, Kind: v1alpha1.FingerprintKind(fingerprint.Opaque),
			RegisteredTime: now, RegisteredFrom: "192.0.2.17", LastSeenTime: &now,
		},
	}
}

// synthetic makes users as they look after some months of use: a PC and a phone that are bound, a network
// limit, a failure in the history, and the fields that a cluster adds.
type synthetic struct {
	ring   *fingerprint.Keyring
	server string
	uids   []types.UID
}

func newSynthetic(server string, users int, ring *fingerprint.Keyring) *synthetic {
	s := &synthetic{ring: ring, server: server, uids: make([]types.UID, users)}
	for i := range s.uids {
		s.uids[i] = uuid.NewUUID()
	}
	return s
}

// user goes through JSON, so that each of its strings is memory of its own, as when it was received.
func (s *synthetic) user(i int) (*v1alpha1.RelayUser, error) {
	made, err := s.make(i)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(made)
	if err != nil {
		return nil, err
	}
	var received v1alpha1.RelayUser
	return &received, json.Unmarshal(encoded, &received)
}

func (s *synthetic) make(i int) (*v1alpha1.RelayUser, error) {
	pc, err := digestOf(s.ring, deviceOf(i))
	if err != nil {
		return nil, err
	}
	phone, err := digestOf(s.ring, "phone-"+deviceOf(i))
	if err != nil {
		return nil, err
	}
	now := metav1.Now()
	earlier := metav1.NewTime(now.Add(-time.Hour))
	return &v1alpha1.RelayUser{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "RelayUser"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: benchNamespace, Name: userName(i), UID: s.uids[i], ResourceVersion: fmt.Sprint(1_000_000 + i),
			Generation: 1, CreationTimestamp: earlier, Labels: map[string]string{"department": "sales"},
			ManagedFields: managedFields("kubectl", "manager", "sidecar"),
		},
		Spec: v1alpha1.RelayUserSpec{
			ServerRef: v1alpha1.LocalReference{Name: s.server},
			Type:      v1alpha1.UserTypeGeneral,
			Programs:  v1alpha1.Programs{Viewer: v1alpha1.ViewerPrograms{Mobile: true, Combined: true}},
			Network:   v1alpha1.Network{Viewer: v1alpha1.NetworkLimits{AllowedCIDRs: []v1alpha1.CIDR{"127.0.0.0/8", "10.0.0.0/8"}}},
			Memo:      "Tokyo office, 3rd floor",
		},
		Status: v1alpha1.RelayUserStatus{
			Conditions: []metav1.Condition{
				{Type: "Ready", Status: metav1.ConditionTrue, ObservedGeneration: 1, LastTransitionTime: earlier, Reason: "UserReady", Message: "the user may log in"},
				{Type: "ResetRecommended", Status: metav1.ConditionFalse, ObservedGeneration: 1, LastTransitionTime: earlier, Reason: "NotNeeded"},
			},
			Slots: []v1alpha1.SlotStatus{boundSlot(v1alpha1.SlotPC, pc), boundSlot(v1alpha1.SlotMobile, phone)},
			RecentFailures: []v1alpha1.LoginFailure{{
				Reason: "PasswordMismatch", FirstTime: earlier, LastTime: earlier, Count: 2, Slot: v1alpha1.SlotPC, Program: "viewer",
				SourceAddress: "192.0.2.17", Digest: pc, Sidecar: "relay-7f9c4d5b6-x2x4q", CorrelationID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
			}},
			LastFailure:   v1alpha1.LastFailure{Reason: "PasswordMismatch", Time: &earlier},
			FailureCount:  2,
			LastLoginTime: &now,
		},
	}, nil
}

// managedFields has about the size that server-side apply and two status writers leave.
func managedFields(managers ...string) []metav1.ManagedFieldsEntry {
	const fields = `{"f:status":{"f:failureCount":{},"f:lastFailure":{".":{},"f:reason":{},"f:time":{}},"f:lastLoginTime":{},"f:recentFailures":{},` +
		`"f:slots":{"k:{\"slot\":\"pc\"}":{".":{},"f:binding":{".":{},"f:digest":{},"f:id":{},"f:kind":{},"f:lastSeenTime":{},"f:registeredTime":{}},"f:state":{}}}}}`
	now := metav1.Now()
	entries := make([]metav1.ManagedFieldsEntry, len(managers))
	for i, m := range managers {
		entries[i] = metav1.ManagedFieldsEntry{
			Manager: m, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: v1alpha1.GroupVersion.String(), Time: &now,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
		}
	}
	return entries
}

// credentialSecrets shards one hash for all users as the manager does.
func credentialSecrets(server string, uids []types.UID, hash password.Hash) ([]*corev1.Secret, error) {
	shards := make([]*corev1.Secret, credential.Shards)
	for n, name := range credential.SecretNames(server) {
		shards[n] = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: benchNamespace, Name: name}, Data: map[string][]byte{}}
	}
	for _, uid := range uids {
		value, err := credential.Encode(credential.Entry{Hash: hash.Encoded(), Source: string(uuid.NewUUID()) + "/123456789"})
		if err != nil {
			return nil, err
		}
		shards[credential.Shard(uid)].Data[credential.Key(uid)] = value
	}
	return shards, nil
}

// memoryRelay is a relay of synthetic users with one password.
func memoryRelay(users int, responseTime time.Duration, hash password.Hash) (*memoryAPI, error) {
	const server = "bench"
	keys, ring, err := newKeys()
	if err != nil {
		return nil, err
	}
	people := newSynthetic(server, users, ring)
	shards, err := credentialSecrets(server, people.uids, hash)
	if err != nil {
		return nil, err
	}
	m := &memoryAPI{
		server: generousServer(server, responseTime),
		users:  users, user: people.user, secrets: map[string]*corev1.Secret{},
	}
	m.secrets[fingerprint.SecretName(server)] = &corev1.Secret{Data: keys}
	for _, s := range shards {
		m.secrets[s.Name] = s
	}
	return m, nil
}

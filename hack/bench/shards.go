package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// maxShard is half of what a Secret may hold.
const maxShard = corev1.MaxSecretSize / 2

// measureShards computes how large the largest Secret of a server with 100,000 users is.
func measureShards(_ context.Context, l *lab) ([]Row, error) {
	users := scale(l, 100_000, 10_000)
	_, hash, err := newCredential()
	if err != nil {
		return nil, err
	}
	uids := make([]types.UID, users)
	for i := range uids {
		uids[i] = uuid.NewUUID()
	}
	shards, err := credentialSecrets("bench", uids, hash)
	if err != nil {
		return nil, err
	}
	var largest *corev1.Secret
	var stored int
	for _, s := range shards {
		s.ManagedFields = ownedKeys(s)
		if size := s.Size(); size > stored {
			largest, stored = s, size
		}
	}
	asJSON, err := json.Marshal(largest)
	if err != nil {
		return nil, err
	}
	return []Row{{
		What: fmt.Sprintf("largest credential Secret of %d users, as stored", users), Unit: bytesUnit, Figure: Figure(stored), Bound: figureAtMost(maxShard),
		Note: fmt.Sprintf("%d entries; as JSON %s; a write of one entry makes the API server send that much to each sidecar", len(largest.Data), bytesUnit.format(float64(len(asJSON)))),
	}}, nil
}

// ownedKeys is what the API server notes of who set which key; it counts, too.
func ownedKeys(s *corev1.Secret) []metav1.ManagedFieldsEntry {
	var fields strings.Builder
	fields.WriteString(`{"f:data":{".":{}`)
	for key := range s.Data {
		_, _ = fmt.Fprintf(&fields, `,"f:%s":{}`, key)
	}
	fields.WriteString(`},"f:type":{}}`)
	now := metav1.Now()
	return []metav1.ManagedFieldsEntry{{
		Manager: "manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &now,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields.String()),
	}}
}

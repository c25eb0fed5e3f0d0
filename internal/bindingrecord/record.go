// Package bindingrecord owns the Secrets <server>-bindings-<shard>, in which the manager keeps a second record of what
// the status of RelayUsers says of devices: status is lost when a backup is restored or an object is pruned and
// applied again, and a user whose devices are forgotten would be open to whoever knows the password.
//
// A record is keyed by the login name: the object that bears it comes and goes. The package lays records out, reads
// what others may have written into them with care, and judges a status against its record. It reads and writes no
// object, and decides on no login.
package bindingrecord

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

const (
	// shardDigits is how many hexadecimal digits name a shard. There are 4096: with 100,000 users one holds some 25 of
	// them, so that a write of one record is a write of a few kilobytes.
	shardDigits = 3
	// maxBytes bounds one record. 25 of that size fit into a Secret.
	maxBytes = 32 << 10
)

// ErrRecord is what every error of Decode wraps. None quotes the record.
var ErrRecord = errors.New("record of bindings is not of the expected form")

// Record is what is kept of one login name.
type Record struct {
	// UserName is the login name, normalised.
	UserName string `json:"userName"`
	// UID and ResourceVersion are the RelayUser, and the version of it, that the rest follows from. A write that is
	// judged by an older version of that object changes nothing.
	UID             types.UID `json:"uid"`
	ResourceVersion string    `json:"resourceVersion"`
	// Forget says that the record counts for nothing once the object of that UID is gone.
	Forget bool `json:"forget,omitempty"`
	// Slots are as Of makes them.
	Slots []v1alpha1.SlotStatus `json:"slots"`
}

// SecretName is the Secret that holds the record of a login name, which is normalised.
func SecretName(server, userName string) string {
	return server + "-bindings-" + hex.EncodeToString(sum(userName))[:shardDigits]
}

// Key is the login name's key in the data of that Secret: a digest, because a key cannot hold every name.
func Key(userName string) string { return base64.RawURLEncoding.EncodeToString(sum(userName)) }

func sum(userName string) []byte {
	digest := sha256.Sum256([]byte(userName))
	return digest[:]
}

// New is the record of a user as it is. What is bound or revoked always fits. Where the rest does not, it is left out
// which reset revoked a device, and then the oldest of the resets that were handled.
func New(user *v1alpha1.RelayUser, userName string) Record {
	r := Record{
		UserName: userName, UID: user.UID, ResourceVersion: user.ResourceVersion,
		Forget: Forgets(user), Slots: Of(&user.Status),
	}
	for {
		value, err := json.Marshal(r)
		if err != nil || len(value) <= maxBytes || !dropRequestIDs(r.Slots) && !dropOldestReset(r.Slots) {
			return r
		}
	}
}

// Encode is the record's value in the data of the Secret.
func Encode(r Record) ([]byte, error) {
	value, err := json.Marshal(r)
	if err == nil && len(value) > maxBytes {
		err = fmt.Errorf("record of bindings has %d bytes, more than %d", len(value), maxBytes)
	}
	return value, err
}

// dropRequestIDs leaves out which resets revoked devices, and says whether anything was left out.
func dropRequestIDs(slots []v1alpha1.SlotStatus) (dropped bool) {
	for i := range slots {
		for j := range slots[i].Revoked {
			dropped = dropped || slots[i].Revoked[j].RequestID != ""
			slots[i].Revoked[j].RequestID = ""
		}
	}
	return dropped
}

// dropOldestReset leaves out the last reset of the slot that has most of them, and says whether there was one.
func dropOldestReset(slots []v1alpha1.SlotStatus) bool {
	var most *v1alpha1.SlotStatus
	for i := range slots {
		if most == nil || len(slots[i].HandledResets) > len(most.HandledResets) {
			most = &slots[i]
		}
	}
	if most == nil || len(most.HandledResets) == 0 {
		return false
	}
	most.HandledResets = most.HandledResets[:len(most.HandledResets)-1]
	return true
}

// Decode reads the value that is stored for a login name. Whoever may write Secrets may have written it.
func Decode(value []byte, userName string) (*Record, error) {
	if len(value) > maxBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrRecord, len(value), maxBytes)
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	r := &Record{}
	if err := decoder.Decode(r); err != nil {
		return nil, fmt.Errorf("%w: it is no JSON of a record", ErrRecord)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows it", ErrRecord)
	}
	if r.UserName != userName {
		return nil, fmt.Errorf("%w: it is another user's", ErrRecord)
	}
	if err := validate(r.Slots); err != nil {
		return nil, err
	}
	return r, nil
}

// ForgottenWith is the object with which a record is to be forgotten, if it is. It is quick where it is not.
func ForgottenWith(value []byte) (types.UID, bool) {
	var r Record
	if len(value) > maxBytes || !bytes.Contains(value, []byte(`"forget":true`)) || json.Unmarshal(value, &r) != nil {
		return "", false
	}
	return r.UID, r.Forget
}

// validate checks how the parts of the slots go together. What each may be, the API server checks when they are
// written into a status.
func validate(slots []v1alpha1.SlotStatus) error {
	seen := map[v1alpha1.Slot]bool{}
	for i := range slots {
		s := &slots[i]
		known := s.Slot == v1alpha1.SlotPC || s.Slot == v1alpha1.SlotMobile
		consistent := (s.State == v1alpha1.SlotRegistered) == (s.Binding != nil) &&
			(s.State == v1alpha1.SlotReserved) == (s.ReservedFor != "") &&
			(s.State == v1alpha1.SlotRegistered || s.State == v1alpha1.SlotReserved || s.State == v1alpha1.SlotUnregistered)
		bound := s.Binding == nil || s.Binding.ID != "" && s.Binding.Digest != "" && !s.Binding.RegisteredTime.IsZero()
		bounded := len(s.Revoked) <= v1alpha1.MaxRevokedDevices && len(s.HandledResets) <= v1alpha1.MaxHandledResets
		if !known || seen[s.Slot] || !consistent || !bound || !bounded {
			return fmt.Errorf("%w: its slots contradict themselves", ErrRecord)
		}
		seen[s.Slot] = true
	}
	if len(slots) == 0 {
		return fmt.Errorf("%w: it has no slots", ErrRecord)
	}
	return nil
}

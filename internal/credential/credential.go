// Package credential owns the layout of the Secrets <server>-credentials-<n>, in which the manager keeps
// the password hashes of a server's users and from which the sidecars read them.
//
// The set of Secrets is fixed, so that a Role can name each of them, and large enough that one stays far
// below the 1 MiB limit of an object at 100,000 users: about 1,600 entries of 0.25 KB each. A user's
// entry is keyed by the user's UID: a user that is deleted and created again does not inherit it.
package credential

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
)

// Shards is how many Secrets hold a server's credentials. Changing it moves every entry.
const Shards = 64

// Entry is one user's credential.
type Entry struct {
	// Hash is the encoded password hash (PHC or crypt format).
	Hash string `json:"hash"`
	// Source identifies the Secret and its version that the hash was made from, so that the manager can
	// tell, without hashing again, that it is current. It says nothing of the password.
	Source string `json:"source"`
}

// Shard is the index of the Secret that holds a user's entry.
func Shard(uid types.UID) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid))
	return int(h.Sum32() % Shards)
}

// SecretName is the name of a server's n-th credential Secret.
func SecretName(server string, n int) string {
	return server + "-credentials-" + strconv.Itoa(n)
}

// SecretNames are the names of all of a server's credential Secrets.
func SecretNames(server string) []string {
	names := make([]string, Shards)
	for n := range names {
		names[n] = SecretName(server, n)
	}
	return names
}

// Key is a user's key in the data of the Secret.
func Key(uid types.UID) string { return string(uid) }

// Encode is the value of an entry in the data of the Secret.
func Encode(e Entry) ([]byte, error) { return json.Marshal(e) }

// Decode reads the value of an entry. Its error does not quote the value.
func Decode(value []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(value, &e); err != nil || e.Hash == "" {
		return Entry{}, fmt.Errorf("credential entry is not of the expected form")
	}
	return e, nil
}

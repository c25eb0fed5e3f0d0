package controllers_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/session"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// sessionKeyIDs are the ids of the keys in a key Secret, and which of them signs.
func sessionKeyIDs(secret *corev1.Secret) (ids []string, current string) {
	for name := range secret.Data {
		if id, isKey := strings.CutPrefix(name, "session."); isKey {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, string(secret.Data["session-current"])
}

// TestSessionKeysRotate makes keys look older than they are, one step after the other.
func TestSessionKeysRotate(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()
	ids, first := sessionKeyIDs(w.secret("asp1-keys"))
	if len(ids) != 1 || ids[0] != first {
		t.Fatalf("keys %v, current %q", ids, first)
	}
	ring, err := fingerprint.ParseKeyring(w.secret("asp1-keys").Data)
	w.must(err)

	age := func(id string, by time.Duration) {
		t.Helper()
		edit(w, w.secret("asp1-keys"), func(s *corev1.Secret) {
			s.Data["session-created."+id] = []byte(time.Now().Add(-by).UTC().Format(time.RFC3339))
		})
	}
	age(first, 721*time.Hour)
	var second string
	w.eventually(func() error {
		ids, current := sessionKeyIDs(w.secret("asp1-keys"))
		if len(ids) != 2 || current != first {
			return fmt.Errorf("keys %v, current %q; want a second one, which does not sign yet", ids, current)
		}
		second = ids[1-slices.Index(ids, first)]
		return nil
	})
	age(second, 11*time.Minute) // maxStaleness and the margin
	w.eventually(func() error {
		if ids, current := sessionKeyIDs(w.secret("asp1-keys")); len(ids) != 2 || current != second {
			return fmt.Errorf("keys %v, current %q; want %q to sign, and both kept", ids, current, second)
		}
		return nil
	})
	age(second, session.MaxTTL+11*time.Minute)
	w.eventually(func() error {
		if ids, _ := sessionKeyIDs(w.secret("asp1-keys")); !slices.Equal(ids, []string{second}) {
			return fmt.Errorf("keys %v, want %q only", ids, second)
		}
		return nil
	})
	after, err := fingerprint.ParseKeyring(w.secret("asp1-keys").Data)
	w.must(err)
	if after.CurrentID() != ring.CurrentID() {
		t.Error("the key of the devices was replaced, too")
	}
}

// TestLostSessionKeysAreMadeAnew: unlike a fingerprint key, which is not.
func TestLostSessionKeysAreMadeAnew(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()
	before := maps.Clone(w.secret("asp1-keys").Data)
	edit(w, w.secret("asp1-keys"), func(s *corev1.Secret) {
		for name := range s.Data {
			if strings.HasPrefix(name, "session") {
				delete(s.Data, name)
			}
		}
	})
	w.eventually(func() error {
		data := w.secret("asp1-keys").Data
		if _, err := session.ParseKeys(data); err != nil {
			return err
		}
		_, id := sessionKeyIDs(w.secret("asp1-keys"))
		if before["session."+id] != nil {
			return errors.New("the Secret is as it was before")
		}
		return nil
	})
	after := w.secret("asp1-keys").Data
	for _, data := range []map[string][]byte{before, after} {
		maps.DeleteFunc(data, func(name string, _ []byte) bool { return strings.HasPrefix(name, "session") })
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error("the fingerprint keys have changed") // and are not to be printed
	}
}

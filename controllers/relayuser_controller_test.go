package controllers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	// bcryptHash is somebody's.
	bcryptHash = "$2a$10$0OKvcTyYDJLLuL1aaj5XQ.i7u6rzZGhUl5sGyuW1DDsPmaZ4FvVGS"
	// hungryHash asks for 4 GiB of memory.
	hungryHash = "$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0c2FsdHNhbHQ"
)

// servedWorld has a manager and a server that is ready.
func servedWorld(t *testing.T) *world {
	t.Helper()
	w := managedWorld(t)
	w.create(testenv.Server(w.namespace, "asp1"))
	w.serverReady()
	return w
}

// opens says whether the stored credential is of a password.
func (w *world) opens(user *v1alpha1.RelayUser, plain string) error {
	w.Helper()
	entry := w.entry(user)
	if entry == nil {
		return errors.New("there is no credential")
	}
	hash, err := password.Parse(entry.Hash)
	w.must(err)
	ok, err := password.NewVerifier(password.Options{}).Verify(w.Context(), hash, []byte(plain), password.Ordinary)
	w.must(err)
	if !ok {
		return errors.New("the credential is of another password")
	}
	return nil
}

// setData replaces what a Secret holds.
func (w *world) setData(name string, data map[string]string) {
	w.Helper()
	secret := w.secret(name)
	edit(w, secret, func(o *corev1.Secret) {
		o.Data, o.StringData = nil, data
	})
}

// shell runs a line as a person would, with kubectl at hand.
func (w *world) shell(line string) {
	w.Helper()
	kubeconfig := filepath.Join(w.TempDir(), "kubeconfig")
	w.must(testenv.WriteKubeconfig(kubeconfig, w.env.Config))
	bin, err := testenv.BinDir()
	w.must(err)
	cmd := exec.CommandContext(w.Context(), "sh", "-c", line)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+bin+":"+os.Getenv("PATH"), "KUBECACHEDIR="+w.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%s: %v\n%s", line, err, out)
	}
}

func TestPasswordIsHashedAndRotated(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.PasswordSecret(w.namespace, "taro-password", "correct horse\n"),
		testenv.User(w.namespace, "taro", "asp1", testenv.WithPasswordSecret("taro-password")))
	w.userReady("taro")
	taro := w.user("taro")
	w.must(w.opens(taro, "correct horse"))

	w.setData("taro-password", map[string]string{"password": "battery staple"})
	w.eventually(func() error { return w.opens(taro, "battery staple") })
	secret := w.secret("taro-password")
	if want := fmt.Sprintf("%s/%s", secret.UID, secret.ResourceVersion); w.entry(taro).Source != want {
		t.Errorf("source is %s, want %s", w.entry(taro).Source, want)
	}
}

func TestHashIsTakenAsItIs(t *testing.T) {
	w := servedWorld(t)
	secret := testenv.PasswordSecret(w.namespace, "taro-password", "")
	secret.StringData = map[string]string{"passwordHash": bcryptHash + "\n"}
	w.create(secret, testenv.User(w.namespace, "taro", "asp1", testenv.WithPasswordSecret("taro-password")))
	w.userReady("taro")
	if got := w.entry(w.user("taro")).Hash; got != bcryptHash {
		t.Errorf("stored hash differs from the given one in %d bytes", len(cmp.Diff(got, bcryptHash)))
	}
}

func TestPasswordIsHashedOnce(t *testing.T) {
	w := newWorld(t)
	stop := w.startManager()
	w.create(testenv.Server(w.namespace, "asp1"),
		testenv.PasswordSecret(w.namespace, "taro-password", "correct horse"),
		testenv.User(w.namespace, "taro", "asp1", testenv.WithPasswordSecret("taro-password")))
	w.userReady("taro")
	taro := w.user("taro")
	before := *w.entry(taro)

	edit(w, taro, func(u *v1alpha1.RelayUser) { u.Spec.Memo = "changed" })
	w.userReady("taro")
	stop()
	w.startManager()
	edit(w, taro, func(u *v1alpha1.RelayUser) { u.Spec.Memo = "changed again" })
	w.userReady("taro")
	if diff := cmp.Diff(before, *w.entry(taro)); diff != "" {
		t.Error("the password was hashed again")
	}
}

func TestPasswordSecretThatCannotBeUsed(t *testing.T) {
	w := servedWorld(t)
	type data = map[string]string
	for name, tc := range map[string]struct {
		data        data
		wantMessage string
	}{
		"a hash that asks for 4 GiB":    {data{"passwordHash": hungryHash}, "argon2id"},
		"a password as a hash":          {data{"passwordHash": "correct horse"}, "does not begin with $"},
		"a short password":              {data{"password": "x9!q"}, "8"},
		"both a password and a hash":    {data{"password": "correct horse", "passwordHash": bcryptHash}, "both"},
		"neither":                       {data{"Password": "correct horse"}, "neither"},
		"a hash that is not maintained": {data{"passwordHash": "$1$abcdefgh$1234567890123456789012"}, "md5-crypt"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, env: w.env, namespace: w.namespace}
			user := strings.ReplaceAll(strings.ToLower(name), " ", "-")
			w.create(testenv.PasswordSecret(w.namespace, user, "correct horse"),
				testenv.User(w.namespace, user, "asp1", testenv.WithPasswordSecret(user)))
			w.userReady(user)

			w.setData(user, tc.data)
			w.userBecomes(user, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPasswordRefused, tc.wantMessage)
			if w.entry(w.user(user)) != nil {
				t.Error("the old password still opens")
			}
			for _, c := range w.user(user).Status.Conditions {
				for _, value := range tc.data {
					if strings.Contains(c.Message, value) {
						t.Errorf("%s quotes what is in the Secret: %s", c.Type, c.Message)
					}
				}
			}
			w.setData(user, data{"password": "battery staple"})
			w.userReady(user)
			w.must(w.opens(w.user(user), "battery staple"))
		})
	}
}

func TestPasswordSecretMustBeLabelled(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1", testenv.WithPasswordSecret("taro-password")))
	w.userBecomes("taro", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPasswordSecretNotFound, "taro-password")

	secret := testenv.PasswordSecret(w.namespace, "taro-password", "correct horse")
	secret.Labels = nil
	w.create(secret)
	// Nothing tells the manager of a Secret without the label; a change of the user does.
	taro := w.user("taro")
	edit(w, taro, func(o *v1alpha1.RelayUser) {
		o.Spec.Memo = "look again"
	})
	command := "kubectl label secret -n " + w.namespace + " taro-password tegata.dev/secret-type=password"
	w.userBecomes("taro", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPasswordSecretNotLabelled, command)

	w.shell(command)
	w.userReady("taro")
	w.must(w.opens(w.user("taro"), "correct horse"))

	w.shell("kubectl label secret -n " + w.namespace + " taro-password tegata.dev/secret-type-")
	w.userBecomes("taro", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPasswordSecretNotLabelled, command)
	if w.entry(w.user("taro")) != nil {
		t.Error("the credential was not withdrawn with the consent")
	}
	w.delete(w.secret("taro-password"))
}

func TestOwnSecretsAreNoPasswords(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "eve", "asp1", testenv.WithPasswordSecret("asp1-keys")))
	w.userBecomes("eve", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPasswordSecretNotLabelled, "one of Tegata's own")
}

func TestTemporaryPasswordsAreNotShared(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1"))
	w.userReady("taro")
	w.create(testenv.User(w.namespace, "eve", "asp1", testenv.WithPasswordSecret("taro-temporary-password")))
	w.userBecomes("eve", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPasswordRefused, "RelayUser taro")
}

func TestTemporaryPassword(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1", func(u *v1alpha1.RelayUser) { u.Spec.UserName = "Taro.Yamada" }))
	w.userReady("taro")
	taro, first := w.user("taro"), w.secret("taro-temporary-password")
	if !metav1.IsControlledBy(first, taro) || string(first.Data["userName"]) != "Taro.Yamada" {
		t.Errorf("Secret of %v for %q", first.OwnerReferences, first.Data["userName"])
	}
	w.must(w.opens(taro, string(first.Data["password"])))

	w.delete(first)
	w.eventually(func() error {
		second := w.secret("taro-temporary-password")
		if second == nil || second.UID == first.UID {
			return errors.New("there is no new temporary password")
		}
		if bytes.Equal(second.Data["password"], first.Data["password"]) {
			t.Fatal("the new temporary password is the old one")
		}
		return w.opens(taro, string(second.Data["password"]))
	})
}

func TestTemporaryPasswordOfAnother(t *testing.T) {
	for name, labels := range map[string]map[string]string{
		"without a label": nil,
		"with the label":  {v1alpha1.LabelSecretType: v1alpha1.SecretTypePassword},
	} {
		t.Run(name, func(t *testing.T) {
			w := servedWorld(t)
			foreign := testenv.PasswordSecret(w.namespace, "taro-temporary-password", "chosen by eve")
			foreign.Labels = labels
			w.create(foreign, testenv.User(w.namespace, "taro", "asp1"))
			w.userBecomes("taro", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPasswordSecretTaken, "taro-temporary-password")
			if w.entry(w.user("taro")) != nil {
				t.Error("the user has a credential")
			}
			if got := w.secret("taro-temporary-password"); got.ResourceVersion != foreign.ResourceVersion {
				t.Error("the Secret of another was changed")
			}
		})
	}
}

func TestOldestOfOneLoginNameIsServed(t *testing.T) {
	w := servedWorld(t)
	named := func(userName string) func(*v1alpha1.RelayUser) {
		return func(u *v1alpha1.RelayUser) { u.Spec.UserName = userName }
	}
	w.create(testenv.User(w.namespace, "first", "asp1", named("Taro")))
	w.userReady("first")
	first := w.user("first")
	// The API server's clock has seconds; of two users of one second the UID decides.
	w.eventually(func() error {
		if time.Since(first.CreationTimestamp.Time) < time.Second {
			return errors.New("it is still the same second")
		}
		return nil
	})
	w.create(testenv.User(w.namespace, "second", "asp1", named("ＴＡＲＯ")), testenv.User(w.namespace, "other-server", "asp2", named("taro")))
	w.userBecomes("second", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUserNameConflict, "first")
	w.userBecomes("other-server", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonServerNotFound, "asp2")
	w.userReady("first")
	second := w.user("second")
	if w.entry(second) != nil {
		t.Error("the younger has a credential")
	}
	w.delete(first)
	w.userReady("second")
	if w.entry(second) == nil {
		t.Error("the next in line has no credential")
	}
}

func TestLoginNameThatIsNone(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "henry", "asp1", func(u *v1alpha1.RelayUser) { u.Spec.UserName = "henry\u2163" }))
	w.userBecomes("henry", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUserNameInvalid, "RFC 8265")
}

func TestServerComesAndGoes(t *testing.T) {
	w := managedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1"))
	w.userBecomes("taro", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonServerNotFound, "asp1")
	w.create(testenv.Server(w.namespace, "asp1"))
	w.userReady("taro")
	w.delete(w.server())
	w.userBecomes("taro", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonServerNotFound, "asp1")
	if w.entry(w.user("taro")) != nil {
		t.Error("the credential was not withdrawn")
	}
}

func TestCredentialIsPutRight(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1"))
	w.userReady("taro")
	taro := w.user("taro")
	plain := string(w.secret("taro-temporary-password").Data["password"])
	shard := credential.SecretName("asp1", credential.Shard(taro.UID))
	for name, value := range map[string]string{"removed": "null", "spoilt": `"eA=="`} {
		patch := fmt.Sprintf(`{"data":{%q:%s}}`, credential.Key(taro.UID), value)
		w.must(w.env.Client.Patch(t.Context(), w.secret(shard), client.RawPatch(types.MergePatchType, []byte(patch))))
		w.eventually(func() error {
			if v := w.secret(shard).Data[credential.Key(taro.UID)]; len(v) < 10 {
				return fmt.Errorf("the entry that was %s is still so", name)
			}
			return w.opens(taro, plain)
		})
	}
	w.delete(w.secret(shard))
	w.eventually(func() error { return w.opens(taro, plain) })
}

func TestSlotsFollowTheSpec(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1"))
	w.userReady("taro")
	states := func(want map[v1alpha1.Slot]v1alpha1.SlotState) func() error {
		return func() error {
			got := map[v1alpha1.Slot]v1alpha1.SlotState{}
			for _, s := range w.user("taro").Status.Slots {
				got[s.Slot] = s.State
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("slots (-want +got):\n%s", diff)
			}
			return nil
		}
	}
	permit := func(mobile, combined bool) {
		taro := w.user("taro")
		edit(w, taro, func(o *v1alpha1.RelayUser) {
			o.Spec.Programs.Viewer.Mobile, o.Spec.Programs.Viewer.Combined = mobile, combined
		})
	}
	type slots = map[v1alpha1.Slot]v1alpha1.SlotState
	w.eventually(states(slots{"pc": "Unregistered"}))
	permit(true, true)
	w.eventually(states(slots{"pc": "Unregistered", "mobile": "Unregistered"}))
	permit(false, false)
	w.eventually(states(slots{"pc": "Unregistered"}))

	permit(true, true)
	w.bind("taro", v1alpha1.SlotMobile, "phone")
	permit(false, false)
	w.userBecomes("taro", v1alpha1.ConditionSlotNotPermitted, metav1.ConditionTrue, v1alpha1.ReasonBoundSlotNotPermitted, "mobile")
	w.must(states(slots{"pc": "Unregistered", "mobile": "Registered"})())
	permit(true, false)
	w.userBecomes("taro", v1alpha1.ConditionSlotNotPermitted, metav1.ConditionFalse, v1alpha1.ReasonSlotsPermitted, "")
}

func TestResetIsRecommendedByTheCommandThatMends(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1", testenv.Combined))
	w.userReady("taro")
	w.bind("taro", v1alpha1.SlotPC, "pc")
	w.bind("taro", v1alpha1.SlotMobile, "phone")
	w.userBecomes("taro", v1alpha1.ConditionResetRecommended, metav1.ConditionFalse, v1alpha1.ReasonNoResetNeeded, "")

	w.fails("taro", v1alpha1.ReasonDeviceMismatch, v1alpha1.SlotMobile, time.Now())
	w.userBecomes("taro", v1alpha1.ConditionResetRecommended, metav1.ConditionTrue, v1alpha1.ReasonResetHelps, "kubectl create")
	var command string
	for _, c := range w.user("taro").Status.Conditions {
		if c.Type == v1alpha1.ConditionResetRecommended {
			command = c.Message
		}
	}
	w.shell(command)
	w.userBecomes("taro", v1alpha1.ConditionResetRecommended, metav1.ConditionFalse, v1alpha1.ReasonNoResetNeeded, "")
	w.must(slotHolds(w.user("taro"), v1alpha1.SlotMobile, ""))
	w.must(slotHolds(w.user("taro"), v1alpha1.SlotPC, "pc"))
}

func TestNoResetIsRecommendedWhileTheKeysAreLost(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1"))
	w.userReady("taro")
	w.bind("taro", v1alpha1.SlotPC, "pc")
	keys := w.secret("asp1-keys")
	w.delete(w.secret("asp1-keys"))
	w.serverBecomes(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonKeySecretMissing, "")
	w.fails("taro", v1alpha1.ReasonDeviceMismatch, v1alpha1.SlotPC, time.Now())
	w.userBecomes("taro", v1alpha1.ConditionResetRecommended, metav1.ConditionFalse, v1alpha1.ReasonServerNotReady, "KeySecretMissing; mend that first")

	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asp1-keys", Labels: keys.Labels}, Data: keys.Data})
	w.userBecomes("taro", v1alpha1.ConditionResetRecommended, metav1.ConditionTrue, v1alpha1.ReasonResetHelps, "")
	w.delete(w.server())
	w.userBecomes("taro", v1alpha1.ConditionResetRecommended, metav1.ConditionFalse, v1alpha1.ReasonServerNotFound, "there is no RelayServer asp1")
}

func TestSidecarsWritesAreQuiet(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1"))
	w.userReady("taro")
	w.bind("taro", v1alpha1.SlotPC, "pc")
	w.fails("taro", v1alpha1.ReasonDeviceMismatch, v1alpha1.SlotPC, time.Now())
	w.userBecomes("taro", v1alpha1.ConditionResetRecommended, metav1.ConditionTrue, v1alpha1.ReasonResetHelps, "")

	watcher, err := client.NewWithWatch(w.env.Config, client.Options{Scheme: w.env.Scheme})
	w.must(err)
	events, err := watcher.Watch(t.Context(), &v1alpha1.RelayUserList{}, client.InNamespace(w.namespace),
		client.MatchingFields{"metadata.name": "taro"}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: w.user("taro").ResourceVersion}})
	w.must(err)
	defer events.Stop()
	const writes = 20
	for range writes {
		w.change("taro", func(u *v1alpha1.RelayUser) {
			u.Status.FailureCount++
			u.Status.RecentFailures[0].Count++
		})
	}
	w.change("taro", func(u *v1alpha1.RelayUser) { binding.Seen(&u.Status, v1alpha1.SlotPC, "pc", time.Now()) })
	// By the time that this user is ready, the manager has long seen the others' writes.
	w.create(testenv.User(w.namespace, "jiro", "asp1"))
	w.userReady("jiro")

	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	seen := 0
	for done := false; !done; {
		select {
		case <-events.ResultChan():
			seen++
		case <-ctx.Done():
			done = true
		}
	}
	if seen != writes+1 {
		t.Errorf("the user was written %d times, want the sidecars' %d", seen, writes+1)
	}
}

package acceptance

import (
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	oldPhone = "phone-fingerprint-old-0001"
	newPhone = "phone-fingerprint-new-0002"
	aPC      = "pc-fingerprint-0003"
)

// TestStory is the manual's: bind at the first login, refuse another device, tell the administrator why,
// reset, let the new device in and keep the old one out.
func TestStory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t))
	w.addUser("taro", testenv.Combined)
	s := w.startSidecar()

	first := w.mustLogin(s, phone("taro", oldPhone))
	if !first.Enrolled || first.Slot != "mobile" {
		t.Fatalf("first login: %s, want the phone enrolled", first.body)
	}
	if again := w.login(s, phone("taro", oldPhone)); !again.allowed() || again.Enrolled {
		t.Fatalf("second login: %d %s, want allowed and not enrolled again", again.Status, again.body)
	}
	if both := w.login(s, pc("taro", aPC)); !both.Enrolled || both.Slot != "pc" {
		t.Fatalf("login of the PC: %s, want it enrolled beside the phone", both.body)
	}

	other := w.login(s, phone("taro", newPhone))
	if other.Status != 401 || other.Code != 293 {
		t.Fatalf("login of another phone: %d %s, want the uniform 293", other.Status, other.body)
	}
	w.expectFailure("taro", v1alpha1.ReasonDeviceMismatch)
	failure := w.user("taro").Status.RecentFailures[0]
	if failure.CorrelationID != other.CorrelationID || failure.Slot != v1alpha1.SlotMobile || failure.Sidecar != s.name {
		t.Errorf("recorded failure %+v does not name attempt %s", failure, other.CorrelationID)
	}
	columns := w.kubectl("", "get", "relayusers", "--field-selector", "status.lastFailure.reason=DeviceMismatch")
	if !strings.Contains(columns, "taro") || !strings.Contains(columns, "DeviceMismatch") {
		t.Errorf("kubectl get relayusers shows\n%s", columns)
	}

	w.kubectl(`{"apiVersion":"tegata.dev/v1alpha1","kind":"DeviceReset","metadata":{"name":"taro-phone"},
		"spec":{"userRef":{"name":"taro"},"slots":["mobile"],"reason":"new phone"}}`, "apply", "-f", "-")
	w.awaitReset("taro-phone")
	if back := w.login(s, phone("taro", oldPhone)); back.allowed() {
		t.Fatal("the removed phone walked back in")
	}
	w.expectFailure("taro", v1alpha1.ReasonDeviceRevoked)
	if fresh := w.login(s, phone("taro", newPhone)); !fresh.Enrolled {
		t.Fatalf("login of the new phone: %d %s, want it enrolled", fresh.Status, fresh.body)
	}
	if w.login(s, phone("taro", oldPhone)).allowed() {
		t.Fatal("the removed phone came back after the new one")
	}
	if !w.login(s, pc("taro", aPC)).allowed() {
		t.Fatal("resetting the phone put the PC out")
	}
}

// TestRecommendedCommandMends pipes the condition's message to a shell.
func TestRecommendedCommandMends(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t))
	w.addUser("hana", testenv.Mobile)
	s := w.startSidecar()
	w.mustLogin(s, phone("hana", oldPhone))
	w.login(s, phone("hana", newPhone))
	var command string
	w.eventually(func() error {
		c := condition(w.user("hana").Status.Conditions, v1alpha1.ConditionResetRecommended)
		if c == nil || c.Status != "True" {
			return errNotYet("ResetRecommended is %+v", c)
		}
		command = c.Message
		return nil
	})
	w.shell(command)
	w.eventually(func() error {
		got, err := s.tryLogin(phone("hana", newPhone))
		if err != nil || !got.allowed() {
			return errNotYet("new phone: %d %s %v", got.Status, got.body, err)
		}
		return nil
	})
	w.eventually(func() error {
		if c := condition(w.user("hana").Status.Conditions, v1alpha1.ConditionResetRecommended); c == nil || c.Status != "False" {
			return errNotYet("ResetRecommended is %+v after the login", c)
		}
		return nil
	})
}

// TestChangesApplyWithoutRestart changes password, policy and account under a running sidecar.
func TestChangesApplyWithoutRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t))
	w.addUser("jiro", testenv.Mobile)
	s := w.startSidecar()
	w.mustLogin(s, phone("jiro", oldPhone))

	const rotated = "another-long-password"
	w.kubectl("", "patch", "secret", "jiro-password", "--type=merge", "-p", `{"stringData":{"password":"`+rotated+`"}}`)
	withNew := phone("jiro", oldPhone)
	withNew.Password = rotated
	w.mustLogin(s, withNew)
	if w.login(s, phone("jiro", oldPhone)).allowed() {
		t.Error("the old password still works")
	}

	w.kubectl("", "patch", "relayserver", serverName, "--type=merge", "-p", `{"spec":{"denial":{"code":777,"messages":[{"language":"en","text":"No entry."}]}}}`)
	w.eventually(func() error {
		got, err := s.tryLogin(phone("jiro", newPhone))
		if err != nil || got.Code != 777 || !strings.Contains(string(got.body), "No entry.") {
			return errNotYet("denial is %s %v", got.body, err)
		}
		return nil
	})

	w.kubectl("", "patch", "relayuser", "jiro", "--type=merge", "-p", `{"spec":{"suspended":true}}`)
	w.eventually(func() error {
		if got, err := s.tryLogin(withNew); err != nil || got.allowed() {
			return errNotYet("suspended user is let in: %v", err)
		}
		return nil
	})
	w.expectFailure("jiro", v1alpha1.ReasonUserSuspended)
}

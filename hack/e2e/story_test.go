package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const (
	relayURL = "http://asp1:8443/v1/login"
	password = "correct-horse-battery" // as in config/samples
	oldPhone = "taro-old-phone-a1d7"
	newPhone = "taro-new-phone-b2e8"
	aPC      = "taro-pc-77e2"
	// alice administers the relays, hana answers people's calls. Neither is the cluster's administrator.
	alice = "kubectl -n " + namespace + " --as=alice "
	hana  = "kubectl -n " + namespace + " --as=hana --as-group=helpdesk "
)

// reply is what the sidecar answers to a login, by way of the relay.
type reply struct {
	Status   int    `json:"status"`
	Slot     string `json:"slot"`
	Enrolled bool   `json:"enrolled"`
	Code     int    `json:"code"`
	ID       string `json:"correlationID"`
	Session  struct {
		Token string `json:"token"`
	} `json:"session"`
}

func (r reply) allowed() bool { return r.Slot != "" }

// login logs in from the pod where people are.
func (c *cluster) login(t *testing.T, user, password, viewer, fingerprint string) reply {
	t.Helper()
	body := fmt.Sprintf(`{"user":%q,"password":%q,"program":"viewer","viewer":%q,"fingerprint":%q}`, user, password, viewer, fingerprint)
	out := c.exec(t, "people", "", "/usr/bin/curl", "-sS", "--max-time", "40", relayURL, "-H", "Content-Type: application/json", "-d", body)
	var r reply
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Logf("login of %s: %v\n%s", user, err, out) // whoever must log in tries again
	}
	return r
}

// mustLogin is a login that is admitted, if not at once: what an administrator has changed takes a moment to arrive.
func (c *cluster) mustLogin(t *testing.T, user, viewer, fingerprint string) reply {
	t.Helper()
	var r reply
	eventually(t, func() error {
		if r = c.login(t, user, password, viewer, fingerprint); !r.allowed() {
			return fmt.Errorf("login of %s: %+v", user, r)
		}
		return nil
	})
	return r
}

// mustRefuse is a login that gets the one answer that all who are refused get.
func (c *cluster) mustRefuse(t *testing.T, user, password, viewer, fingerprint string) reply {
	t.Helper()
	r := c.login(t, user, password, viewer, fingerprint)
	if r.Status != 401 || r.Code != 293 || r.ID == "" {
		t.Fatalf("login of %s from %s: %+v, want the uniform 293", user, fingerprint, r)
	}
	return r
}

// story is the manual's: the first login binds, another device is refused, and a reset lets it in.
func (c *cluster) story(t *testing.T) {
	c.run(t, "kubectl -n "+namespace+" create rolebinding alice --clusterrole=tegata-admin --user=alice")
	if first := c.mustLogin(t, "taro", "mobile", oldPhone); !first.Enrolled || first.Slot != "mobile" {
		t.Fatalf("first login: %+v, want the phone bound", first)
	}
	if pc := c.mustLogin(t, "taro", "pc", aPC); !pc.Enrolled || pc.Slot != "pc" {
		t.Fatalf("first login from the PC: %+v, want it bound beside the phone", pc)
	}
	if again := c.mustLogin(t, "taro", "mobile", oldPhone); again.Enrolled {
		t.Fatalf("second login: %+v, want no other binding", again)
	}
	c.mustRefuse(t, "taro", "wrong-horse-battery", "mobile", oldPhone)
	c.mustRefuse(t, "nobody", password, "mobile", oldPhone)
	c.mustRefuse(t, "taro", password, "mobile", newPhone)
	c.eventually(t, alice+"get relayusers", "taro", "Registered", "DeviceMismatch")
	c.eventually(t, alice+"get relayusers --field-selector status.lastFailure.reason=DeviceMismatch", "taro")

	c.run(t, alice+"apply -f "+c.dir+"/config/samples/devicereset.yaml")
	c.run(t, alice+"wait devicereset/taro-new-phone --for=condition=Complete --timeout=2m")
	out := c.run(t, alice+"get deviceresets -o wide")
	if !strings.Contains(out, "Cleared") || strings.HasPrefix(c.env[len(c.env)-1], "INSTALL=install.yaml") && !strings.Contains(out, "alice") {
		t.Errorf("the reset shows\n%s", out)
	}
	// Complete means enforced, so there is nothing to wait for.
	c.mustRefuse(t, "taro", password, "mobile", oldPhone)
	if r := c.login(t, "taro", password, "mobile", newPhone); !r.Enrolled {
		t.Fatalf("the new phone after the reset: %+v, want it bound", r)
	}
	if r := c.login(t, "taro", password, "pc", aPC); !r.allowed() {
		t.Errorf("the PC after the phone's reset: %+v", r)
	}
	c.eventually(t, alice+"get relayusers", "DeviceRevoked")
}

// helpdesk has the shipped role and no other.
func (c *cluster) helpdesk(t *testing.T) {
	for script, want := range map[string]string{
		"get relayusers":            "taro",
		"get accessrecords":         "DeviceMismatch",
		"get accessrecords -o wide": "UnknownUser",
		"get userusages":            "taro",
		"get arec --field-selector user=taro,result=Failure": "PasswordMismatch",
	} {
		c.eventually(t, hana+script, want)
	}
	const again = `{"apiVersion":"tegata.dev/v1alpha1","kind":"DeviceReset","metadata":{"name":"by-hana"},"spec":{"userRef":{"name":"taro"},"slots":["mobile"]}}`
	if out, err := c.try(hana+"create -f -", again); err != nil {
		t.Errorf("the help desk makes a reset: %v\n%s", err, out)
	}
	c.run(t, hana+"wait devicereset/by-hana --for=condition=Complete --timeout=2m")
	for _, script := range []string{
		"get secrets", "delete relayuser taro", "delete devicereset by-hana", "get secret asp1-keys",
		"patch relayuser taro --type=merge -p '{\"spec\":{\"suspended\":true}}'",
	} {
		if out, err := c.try(hana + script); err == nil || !strings.Contains(err.Error(), "orbidden") {
			t.Errorf("%s: %v\n%s, want Forbidden", script, err, out)
		}
	}
}

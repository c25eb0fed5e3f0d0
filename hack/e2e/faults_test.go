package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// reset is what of a DeviceReset matters here.
type reset struct {
	Status struct {
		Processed, Users, Cleared int
		CompletionTime            time.Time
	}
}

type lease struct {
	Spec struct {
		HolderIdentity string
		AcquireTime    time.Time
	}
}

// leaderKilled has the leading manager end at once while it resets a thousand users. The other one brings it to its end:
// each device is removed, and once.
func (c *cluster) leaderKilled(t *testing.T) {
	c.addUsers(t, "batch", batchUsers)
	c.enroll(t, "batch", batchUsers)
	var before, after lease
	const get = "kubectl -n " + systemNamespace + " get lease tegata-manager -o json"
	c.read(t, &before, get)
	leader, _, _ := strings.Cut(before.Spec.HolderIdentity, "_")
	// From beside it, because it would give the Lease back when it is told to stop, or its pod is deleted.
	c.run(t, "kubectl -n "+systemNamespace+" debug "+leader+" --container=crash --target=manager --profile=restricted"+
		" --image=registry.example.com/tegata-peers:e2e --image-pull-policy=Never -- /peer wait")
	c.eventually(t, "kubectl -n "+systemNamespace+" get pod "+leader+" -o jsonpath='{.status.ephemeralContainerStatuses[*].state}'", "running")

	c.run(t, "kubectl -n "+namespace+" create -f -", fmt.Sprintf(`{"apiVersion":"tegata.dev/v1alpha1","kind":"DeviceReset","metadata":{"name":"batch"},
		"spec":{"selector":{"matchLabels":{"team":"batch"}},"maxUsers":%d,"slots":["pc"]}}`, batchUsers))
	c.awaitProgress(t)
	c.run(t, "kubectl -n "+systemNamespace+" exec "+leader+" -c crash -- /peer abort 1")
	// Until the Lease has run out nobody leads, and that shows.
	c.run(t, "kubectl -n "+namespace+" wait devicereset/batch --for=jsonpath='{.status.conditions[?(@.type==\"Complete\")].reason}'=Clearing --timeout=10s")
	c.alerted(t, "TegataNoLeader")
	c.alerted(t, "TegataRestarts", `job="tegata-manager"`)
	c.run(t, "kubectl -n "+namespace+" wait devicereset/batch --for=condition=Complete --timeout=3m")

	c.read(t, &after, get)
	var r reset
	c.read(t, &r, "kubectl -n "+namespace+" get devicereset batch -o json")
	if after.Spec.HolderIdentity == before.Spec.HolderIdentity || !after.Spec.AcquireTime.Before(r.Status.CompletionTime) {
		t.Errorf("led by %+v, then %+v, complete at %s: the leader was not killed in the middle", before.Spec, after.Spec, r.Status.CompletionTime)
	}
	if r.Status.Users != batchUsers || r.Status.Processed != batchUsers || r.Status.Cleared != batchUsers {
		t.Errorf("the reset says %+v, want %d users cleared", r.Status, batchUsers)
	}
	slots := c.run(t, "kubectl -n "+namespace+` get relayusers -l team=batch -o jsonpath='{range .items[*]}{.status.slots[?(@.slot=="pc")].state} {.status.slots[?(@.slot=="pc")].handledResets[*].outcome}{"\n"}{end}' | sort | uniq -c`)
	if strings.Join(strings.Fields(slots), " ") != fmt.Sprintf("%d Unregistered Cleared", batchUsers) {
		t.Errorf("slots: %s, want each cleared once", slots)
	}
	c.run(t, "kubectl -n "+systemNamespace+" rollout status deployment/tegata-manager --timeout=2m")
	if restarts := c.run(t, managerRestarts); restarts != "0 1" && restarts != "1 0" {
		t.Errorf("the managers were started again: %s, want one of them once", restarts)
	}
}

const managerRestarts = "kubectl -n " + systemNamespace + ` get pods -l app.kubernetes.io/component=manager -o jsonpath='{.items[*].status.containerStatuses[*].restartCount}'`

// awaitProgress returns when the reset of the batch has begun, and is not at its end.
func (c *cluster) awaitProgress(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch := exec.CommandContext(ctx, "kubectl", "-n", namespace, "get", "devicereset", "batch", "-w", "-o", `jsonpath={.status.processed}{"\n"}`)
	watch.Env = c.env
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = watch.Wait() }()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() != "" && lines.Text() != "0" {
			t.Logf("%s of %d users are done", lines.Text(), batchUsers)
			return
		}
	}
	t.Fatal("the reset does not begin")
}

// deleteNamespace deletes one with a relay in it, in which somebody has logged in. Nothing waits for that here.
func (c *cluster) deleteNamespace(t *testing.T) {
	const gone = "kubectl -n gone "
	c.run(t, "kubectl create namespace gone && kubectl label namespace gone pod-security.kubernetes.io/enforce=restricted")
	c.run(t, gone+"apply -k config/samples && "+gone+"create configmap tegata-history-ca --from-file=ca.crt=tls.crt")
	c.run(t, gone+"wait relayserver/asp1 relayuser/taro --for=condition=Ready --timeout=1m")
	c.run(t, gone+"apply -f "+relaySample)
	c.applyIn(t, "gone", "people.yaml")
	c.run(t, gone+"rollout status deployment/asp1 --timeout=2m")
	body := fmt.Sprintf(`{"user":"taro","password":%q,"program":"viewer","viewer":"pc","fingerprint":"pc-of-taro"}`, password)
	eventually(t, func() error {
		out := c.exec(t, "people", "", "/usr/bin/curl", "-sS", "http://asp1.gone:8443/v1/login", "-H", "Content-Type: application/json", "-d", body)
		if !strings.Contains(out, `"enrolled":true`) {
			return fmt.Errorf("login: %s", out)
		}
		c.restartsBefore = c.run(t, managerRestarts)
		return nil
	})
	c.run(t, "kubectl delete namespace gone --wait=false")
}

// namespaceGone: nothing has held it up, and nobody else has noticed.
func (c *cluster) namespaceGone(t *testing.T) {
	c.run(t, "kubectl wait namespace/gone --for=delete --timeout=3m")
	c.goesOn(t, 1)
	if restarts := c.run(t, managerRestarts); restarts != c.restartsBefore {
		t.Errorf("the managers were started again: %s, before %s", restarts, c.restartsBefore)
	}
	c.alerted(t, "TegataServerGone", `namespace="gone"`)
	// What happened there is not forgotten with it.
	c.eventually(t, "kubectl -n gone get accessrecords", "taro", "Success")
}

// rollRelay replaces all of the relay's pods. A device that is bound gets in all the while.
func (c *cluster) rollRelay(t *testing.T) {
	c.goesOn(t, 1)
	c.run(t, "kubectl -n "+namespace+" rollout restart deployment/asp1")
	c.run(t, "kubectl -n "+namespace+" rollout status deployment/asp1 --timeout=3m")
	c.goesOn(t, 40) // and until the last of the old ones has gone
}

// replaceSecrets gives people other hashes of their passwords, and the relay another key for digests, as
// docs/relayserver.md has it.
func (c *cluster) replaceSecrets(t *testing.T) {
	c.goesOn(t, 1)
	before, _ := c.cookie(t)
	c.run(t, "kubectl -n "+namespace+` patch secret load-password --type=merge -p '{"stringData":{"passwordHash":"`+importedHash(t)+`"}}'`)
	for _, command := range keyCommands(t) {
		c.run(t, strings.Replace(command, "kubectl ", "kubectl -n "+namespace+" ", 1))
	}
	c.eventually(t, "kubectl -n "+namespace+" get relayserver asp1 -o jsonpath='{.status.fingerprintKeyID}'", "k2027")
	// Sessions from devices that are bound under the former key live, whenever they began.
	after, _ := c.cookie(t)
	for when, cookie := range map[string]string{"before": before, "after": after} {
		if status, _, body := c.browse(t, "-H", "Cookie: "+cookie); status != "200" {
			t.Errorf("a session from %s the keys were replaced: %s %s", when, status, body)
		}
	}
	// By then each of them has logged in under both.
	c.goesOn(t, loadUsers)
	c.run(t, "kubectl -n "+namespace+" create -f -", strings.Replace(c.sample(t, "relayuser.yaml"), "name: taro\n", "name: saburo\n", 1))
	c.mustLogin(t, "saburo", "pc", "pc-of-saburo")
	c.eventually(t, hana+"get relayuser saburo -o jsonpath='{.status.slots[*].binding.digest}'", "k2027:")
	c.goesOn(t, 1)
}

// breakKeys: nobody is admitted by keys that cannot be right, it shows, and it is over when they are mended.
func (c *cluster) breakKeys(t *testing.T) {
	c.goesOn(t, 1)
	const current = "kubectl -n " + namespace + ` patch secret asp1-keys --type=merge -p '{"stringData":{"fingerprint-current":"%s"}}'`
	c.run(t, fmt.Sprintf(current, "k1999"))
	c.run(t, "kubectl -n "+namespace+" wait relayserver/asp1 --for=condition=Ready=False --timeout=1m")
	c.mustRefuse(t, "saburo", password, "pc", "pc-of-saburo")
	c.alerted(t, "TegataServerNotReady", `namespace="relays"`)
	c.alerted(t, "TegataLoginsUndecided", `namespace="relays"`)
	c.run(t, fmt.Sprintf(current, "k2027"))
	c.run(t, "kubectl -n "+namespace+" wait relayserver/asp1 --for=condition=Ready --timeout=1m")
	eventually(t, func() error {
		all := c.logins(t)
		if last := all[max(0, len(all)-10):]; slices.ContainsFunc(last, attempt.failed) {
			return fmt.Errorf("logins: %+v", last)
		}
		c.judged = len(all)
		return nil
	})
	c.goesOn(t, 5)
}

const scaleHistory = "kubectl -n " + systemNamespace + " scale deployment/tegata-history --replicas="

// historyAway takes the history server away. Attempts wait with the sidecars, and that shows.
func (c *cluster) historyAway(t *testing.T) {
	c.goesOn(t, 1)
	c.run(t, scaleHistory+"0")
	c.run(t, "kubectl wait apiservice/v1alpha1.history.tegata.dev --for=condition=Available=False --timeout=2m")
	c.awaySince = time.Now()
	if out, err := c.try(hana + "get accessrecords"); err == nil {
		t.Errorf("who serves this?\n%s", out)
	}
	c.goesOn(t, 30)
	if waiting, failures := c.metric(t, "app=asp1", "tegata_history_spooled_records"), c.metric(t, "app=asp1", "tegata_history_send_failures_total"); waiting < 20 || failures == 0 {
		t.Errorf("%v records wait after %v failures, want those of 30 logins and some", waiting, failures)
	}
	c.alerted(t, "TegataHistoryUnreachable", `namespace="relays"`)
}

// historyBack brings it back after a minute at least.
func (c *cluster) historyBack(t *testing.T) {
	eventually(t, func() error {
		if since := time.Since(c.awaySince); since < time.Minute {
			return fmt.Errorf("it is away for %s", since)
		}
		return nil
	})
	c.goesOn(t, 1)
	waited := c.metric(t, "app=asp1", "tegata_history_spooled_records")
	c.run(t, scaleHistory+"1")
	c.run(t, "kubectl wait apiservice/v1alpha1.history.tegata.dev --for=condition=Available --timeout=2m")
	eventually(t, func() error {
		if waiting := c.metric(t, "app=asp1", "tegata_history_spooled_records"); waiting > 10 {
			return fmt.Errorf("%v of %v records wait still", waiting, waited)
		}
		return nil
	})
	t.Logf("it was away for %s, and %v records waited", time.Since(c.awaySince).Round(time.Second), waited)
	c.goesOn(t, 5)
}

// apiServerRestarted: bound devices log in all the while, and what comes after works.
func (c *cluster) apiServerRestarted(t *testing.T) {
	if c.restartAPIServer == "" {
		t.Skip("NOT TESTED: no command was given that restarts the API server (RESTART_APISERVER)")
	}
	c.goesOn(t, 1)
	c.run(t, c.restartAPIServer)
	eventually(t, func() error { _, err := c.try("kubectl get --raw /readyz"); return err })
	c.goesOn(t, 40)
	c.run(t, "kubectl -n "+namespace+" create -f -", `{"apiVersion":"tegata.dev/v1alpha1","kind":"DeviceReset","metadata":{"name":"afterwards"},"spec":{"userRef":{"name":"taro"},"slots":["pc"]}}`)
	c.run(t, "kubectl -n "+namespace+" wait devicereset/afterwards --for=condition=Complete --timeout=2m")
	c.mustRefuse(t, "taro", password, "pc", aPC)
	c.mustLogin(t, "taro", "pc", "another-pc-0001")
}

// outOfMemory uses what the gateways' sidecar was told that it may use, which is more memory than it has. It comes back
// with what it had recorded, though nobody has taken that from it yet.
func (c *cluster) outOfMemory(t *testing.T) {
	c.goesOn(t, 1)
	for range 3 { // one after another, which it has enough memory for
		c.flood(t, 1)
	}
	if len(c.answered) != 3 {
		t.Fatalf("%d of 3 logins were answered", len(c.answered))
	}
	eventually(t, func() error {
		out, err := c.try("kubectl -n " + namespace + " get pods -l app=gateways -o jsonpath='{..lastState.terminated.reason}'")
		if err == nil && out != "OOMKilled" {
			c.flood(t, 60)
			err = fmt.Errorf("its last end: %q", out)
		}
		return err
	})
	c.alerted(t, "TegataRestarts", `job="tegata-sidecar"`)
	c.run(t, "kubectl -n "+namespace+" rollout status deployment/gateways --timeout=2m")
	c.run(t, "kubectl -n "+namespace+" wait pod -l app=gateways --for=condition=Ready --timeout=2m")
	eventually(t, func() error {
		if out := c.exec(t, "people", "", "/usr/bin/curl", "-sk", "--max-time", "20", "https://gateways:8293/v1/login", "-H", "Content-Type: application/json",
			"-d", `{"user":"saburo","password":"`+password+`","program":"viewer","viewer":"pc","fingerprint":"pc-of-saburo"}`); !strings.Contains(out, `"slot":"pc"`) {
			return fmt.Errorf("saburo: %s", out)
		}
		return nil
	})
	c.goesOn(t, 5)
}

// flood is so many wrong logins at once, each by a name of its own, for those of one name are throttled.
func (c *cluster) flood(t *testing.T, count int) {
	t.Helper()
	var logins strings.Builder
	for i := range count {
		fmt.Fprintf(&logins, "next\nurl = https://gateways:8293/v1/login\ninsecure\nmax-time = 20\nheader = \"Content-Type: application/json\"\ndata = %q\n",
			fmt.Sprintf(`{"user":"nobody-%d","password":"wrong-horse-battery","program":"viewer","viewer":"pc","fingerprint":"pc-of-nobody"}`, i))
	}
	out := c.exec(t, "people", strings.TrimPrefix(logins.String(), "next\n"), "/usr/bin/curl", "-s", "-Z", "--parallel-immediate", "--parallel-max", "60", "-K", "-")
	for _, id := range regexp.MustCompile(`"correlationID":"(\w+)"`).FindAllStringSubmatch(out, -1) {
		c.answered = append(c.answered, id[1])
	}
}

// nothingLost: of each login, whatever has happened since, there is one record.
func (c *cluster) nothingLost(t *testing.T) {
	all := c.logins(t)
	for _, id := range c.answered {
		all = append(all, attempt{ID: id, User: "nobody"})
	}
	eventually(t, func() error {
		out, err := c.try(hana + `get accessrecords --field-selector since=2h -o jsonpath='{range .items[*]}{.correlationID}{"\n"}{end}'`)
		if err != nil {
			return err
		}
		kept := map[string]int{}
		for id := range strings.FieldsSeq(out) {
			kept[id]++
		}
		var missing []attempt
		for _, a := range all {
			if kept[a.ID] != 1 {
				missing = append(missing, a)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("%d of %d logins have not one record: %+v", len(missing), len(all), missing[:min(len(missing), 10)])
		}
		return nil
	})
	t.Logf("%d logins, as many records", len(all))
	c.neverAlerted(t, "TegataRecordsLost", "TegataSidecarStale", "TegataServerWithoutSidecars")
	for _, selector := range []string{"app=asp1", "app=gateways"} {
		if lost := c.metric(t, selector, "tegata_history_lost_records_total"); lost != 0 {
			t.Errorf("sidecars of %s say that %v records are lost", selector, lost)
		}
	}
	c.eventually(t, "kubectl -n "+namespace+` get relayserver asp1 -o jsonpath='{.status.conditions[?(@.type=="HistoryComplete")].status}'`, "True")
}

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	// loadUsers log in all the time, as testdata/load.yaml has it; batchUsers are reset at once.
	loadUsers, batchUsers = 40, 1000
	// cheapHash is one of the sample password, for tests with thousands of logins.
	cheapHash = "$6$tegatasample$Qku9tSR5bNB.IQsAm6/DTPtkt2Mm8VkJF6WPryzg.zFmgSe.cmLtOeFLDF2OzatKt9/jkjvQ3vHHMzGgxBebB0"
)

// attempt is a line of cmd/peer: a login, and what became of it.
type attempt struct {
	Time     time.Time `json:"time"`
	User     string    `json:"user"`
	Status   int       `json:"status"`
	ID       string    `json:"correlationID"`
	Enrolled bool      `json:"enrolled"`
	Error    string    `json:"error"`
}

func attemptsOf(out string) ([]attempt, error) {
	var all []attempt
	for line := range strings.Lines(out) {
		var a attempt
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return nil, fmt.Errorf("not a login: %s", line)
		}
		all = append(all, a)
	}
	return all, nil
}

// addUsers makes users PREFIX-0000 and so on, who share a password, and waits until they can log in.
func (c *cluster) addUsers(t *testing.T, prefix string, count int) {
	t.Helper()
	objects := []any{map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata":   map[string]any{"name": prefix + "-password", "labels": map[string]string{"tegata.dev/secret-type": "password"}},
		"stringData": map[string]string{"passwordHash": cheapHash},
	}}
	for i := range count {
		objects = append(objects, map[string]any{
			"apiVersion": "tegata.dev/v1alpha1", "kind": "RelayUser",
			"metadata": map[string]any{"name": fmt.Sprintf("%s-%04d", prefix, i), "labels": map[string]string{"team": prefix}},
			"spec": map[string]any{
				"serverRef": map[string]string{"name": "asp1"},
				"password":  map[string]any{"secretRef": map[string]string{"name": prefix + "-password"}},
			},
		})
	}
	list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	if err != nil {
		t.Fatal(err)
	}
	c.run(t, "kubectl -n "+namespace+" create -f - | wc -l", string(list))
	eventually(t, func() error {
		out, err := c.try("kubectl -n " + namespace + " get relayusers -l team=" + prefix + ` -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}'`)
		if ready := strings.Count(out, "True"); err != nil || ready != count {
			return fmt.Errorf("%d of %d users are ready, %w", ready, count, err)
		}
		return nil
	})
}

// enroll has everybody log in once, for the first time.
func (c *cluster) enroll(t *testing.T, prefix string, count int) {
	t.Helper()
	begun := time.Now()
	out := c.exec(t, "people", "", "/peer", "enroll", "--url="+relayURL, "--users="+prefix, fmt.Sprintf("--count=%d", count), "--password="+password)
	all, err := attemptsOf(out)
	if err != nil || len(all) != count {
		t.Fatalf("%d logins, %v", len(all), err)
	}
	for _, a := range all {
		if a.Status != 200 || !a.Enrolled {
			t.Fatalf("first login of %s: %+v", a.User, a)
		}
	}
	t.Logf("%d devices were bound in %.1f s", count, time.Since(begun).Seconds())
}

// startLoad has people log in from now on, to the end.
func (c *cluster) startLoad(t *testing.T) {
	c.addUsers(t, "load", loadUsers)
	c.enroll(t, "load", loadUsers)
	c.apply(t, "load.yaml", "PASSWORD", password)
	c.run(t, "kubectl -n "+namespace+" wait pod/load --for=condition=Ready --timeout=1m")
	c.goesOn(t, 20)
}

// logins are all so far.
func (c *cluster) logins(t *testing.T) []attempt {
	t.Helper()
	var all []attempt
	eventually(t, func() error {
		out, err := c.try("kubectl -n " + namespace + " logs pod/load")
		if err == nil {
			all, err = attemptsOf(out)
		}
		return err
	})
	return all
}

// failed says whether the login of a bound device has not gone as it should.
func (a attempt) failed() bool { return a.Status != 200 || a.Enrolled || a.ID == "" }

// goesOn waits for so many more logins, and demands that none has failed that was not judged before.
func (c *cluster) goesOn(t *testing.T, more int) {
	t.Helper()
	end := len(c.logins(t)) + more
	var all []attempt
	eventually(t, func() error {
		if all = c.logins(t); len(all) < end {
			return fmt.Errorf("%d logins, want %d", len(all), end)
		}
		return nil
	})
	fresh := all[c.judged:]
	c.judged = len(all)
	failed := slices.DeleteFunc(slices.Clone(fresh), func(a attempt) bool { return !a.failed() })
	if len(failed) > 0 {
		t.Errorf("%d of %d logins of bound devices failed: %+v", len(failed), len(fresh), failed[:min(len(failed), 20)])
	} else {
		t.Logf("%d logins of bound devices, none failed", len(fresh))
	}
}

// metric is the sum of a metric over the pods with a label, by its name and, if need be, labels.
func (c *cluster) metric(t *testing.T, selector, name string) float64 {
	t.Helper()
	var sum float64
	for _, pod := range c.pods(t, namespace, selector) {
		out, err := c.try("kubectl get --raw /api/v1/namespaces/" + namespace + "/pods/" + pod + ":8294/proxy/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			var value float64
			if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
				if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &value); err != nil {
					t.Fatal(err)
				}
				sum += value
			}
		}
	}
	return sum
}

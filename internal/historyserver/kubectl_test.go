package historyserver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// columnsOf are the cells of what kubectl prints, whatever is between them.
func columnsOf(out string) []string {
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

func TestKubectlReadsTheHistory(t *testing.T) {
	w := newWorld(t)
	ns := w.env.Namespace(t)
	first, second := failure(began, "taro", "PasswordMismatch"), success(began.Add(time.Minute), "taro")
	open := success(began.Add(time.Hour), "jiro")
	open.End, open.EndTime = history.EndNone, 0
	w.keep(ns, first, second, open)
	w.keep(w.env.Namespace(t), success(began, "elsewhere"))

	t.Run("the manual's columns, newest first", func(t *testing.T) {
		want := []string{
			"START END DURATION USER SOURCE MAC RESULT",
			"2026-11-15T11:17:00Z open 0s jiro 192.0.2.7 00:00:5e:00:53:01 Success",
			"2026-11-15T10:18:00Z 2026-11-15T10:30:23Z 12m23s taro 192.0.2.7 00:00:5e:00:53:01 Success",
			"2026-11-15T10:17:00Z 2026-11-15T10:17:00Z - taro 2001:db8::1 - PasswordMismatch",
		}
		if diff := cmp.Diff(want, columnsOf(w.kubectl("get", "accessrecords", "-n", ns))); diff != "" {
			t.Errorf("kubectl get (-want +got):\n%s", diff)
		}
	})
	t.Run("wide", func(t *testing.T) {
		got := columnsOf(w.kubectl("get", "arec", "-n", ns, "-o", "wide"))
		if want := "START END DURATION USER SOURCE MAC RESULT DESTINATION SOURCE-VIEWER SERVER PROGRAM SLOT LISTENER BYTES END-CAUSE CORRELATION-ID NAME"; got[0] != want {
			t.Errorf("columns %q, want %q", got[0], want)
		}
		if want := "desk-7 - asp1 viewer/pc pc login 1234/5678 Logout - " + nameOf(second.ID); !strings.HasSuffix(got[2], want) {
			t.Errorf("row %q, want %q at its end", got[2], want)
		}
	})
	t.Run("a page at a time", func(t *testing.T) {
		whole := w.kubectl("get", "arec", "-n", ns)
		if diff := cmp.Diff(columnsOf(whole), columnsOf(w.kubectl("get", "arec", "-n", ns, "--chunk-size=1"))); diff != "" {
			t.Errorf("by ones (-whole +chunks):\n%s", diff)
		}
	})
	t.Run("all namespaces", func(t *testing.T) {
		if out := w.kubectl("get", "arec", "-A"); !strings.Contains(out, "elsewhere") || !strings.Contains(out, ns) {
			t.Errorf("kubectl get -A shows\n%s", out)
		}
	})
	t.Run("one as YAML", func(t *testing.T) {
		out := w.kubectl("get", "accessrecord", nameOf(first.ID), "-n", ns, "-o", "yaml")
		for _, want := range []string{
			"apiVersion: history.tegata.dev/v1alpha1", "kind: AccessRecord", "creationTimestamp: \"2026-11-15T10:17:00Z\"",
			"startTime: \"2026-11-15T10:17:00.000000Z\"", "reason: PasswordMismatch", "result: Failure",
			"message: The password that was sent is not", "correlationID: " + first.ID.String(), "deviceDigest: k1:abc",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		if strings.Contains(out, "duration") || strings.Contains(out, "state:") {
			t.Errorf("a failure has a connection:\n%s", out)
		}
	})
	t.Run("one as a ticket quotes it", func(t *testing.T) {
		if out := w.kubectl("get", "arec", first.ID.String(), "-n", ns, "-o", "name"); !strings.Contains(out, nameOf(first.ID)) {
			t.Errorf("kubectl get: %s", out)
		}
	})
	t.Run("usage", func(t *testing.T) {
		want := []string{
			"NAME CONNECTED ATTEMPTS FAILURES LAST", "jiro 0s 1 0 2026-11-15T11:17:00Z", "taro 12m23s 2 1 2026-11-15T10:18:00Z",
		}
		for _, chunk := range []string{"--chunk-size=1", "--chunk-size=500"} {
			if diff := cmp.Diff(want, columnsOf(w.kubectl("get", "userusages", "-n", ns, chunk))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", chunk, diff)
			}
		}
		out := w.kubectl("get", "userusage", "taro", "-n", ns, "-o", "yaml")
		if !strings.Contains(out, "connectedTime: 12m23s") || !strings.Contains(out, "- asp1") {
			t.Errorf("kubectl get userusage taro:\n%s", out)
		}
	})
	t.Run("what there is not", func(t *testing.T) {
		for _, args := range [][]string{
			{"get", "arec", nameOf(idAt(began)), "-n", ns}, {"get", "arec", "nonsense", "-n", ns}, {"get", "userusage", "nobody", "-n", ns},
		} {
			if out := w.refused(args...); !strings.Contains(out, "not found") {
				t.Errorf("kubectl %v: %s", args, out)
			}
		}
	})
	t.Run("explain", func(t *testing.T) {
		for path, want := range map[string]string{
			"accessrecords":          "AccessRecord is one connection attempt",
			"accessrecords.duration": "for how long the connection has lasted",
			"userusages":             "UserUsage is what the kept AccessRecords",
		} {
			if out := w.kubectl("explain", path); !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
				t.Errorf("kubectl explain %s does not say %q:\n%s", path, want, out)
			}
		}
	})
	t.Run("api-resources", func(t *testing.T) {
		out := w.kubectl("api-resources", "--api-group=history.tegata.dev", "-o", "wide")
		for _, want := range []string{"accessrecords arec", "get,list,watch", "userusages", "get,list"} {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
	})
}

func TestWhatIsShippedCanBeApplied(t *testing.T) {
	env := testenv.Shared(t)
	for dir, own := range map[string]string{"history-sqlite": "persistentvolumeclaim/tegata-history ", "history-postgres": "poddisruptionbudget.policy/tegata-history "} {
		// With --validate=strict, so that no field is misspelt.
		out, errs, err := env.Kubectl(t, "", "apply", "--dry-run=server", "--validate=strict", "-k", "../../config/"+dir)
		for _, want := range []string{own, "deployment.apps/tegata-history ", "serviceaccount/tegata-history ", "service/tegata-history ", "clusterrole.rbac.authorization.k8s.io/tegata-history-reader ", "apiservice.apiregistration.k8s.io/v1alpha1.history.tegata.dev "} {
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in what kubectl says: %v\n%s%s", dir, want, err, out, errs)
			}
		}
	}
}

func TestSelectors(t *testing.T) {
	w := newWorld(t)
	ns := w.env.Namespace(t)
	records := []history.Record{
		failure(began, "taro", "DeviceMismatch"), success(began.Add(time.Minute), "taro"), success(began.Add(time.Hour), "jiro"),
	}
	w.keep(ns, records...)
	w.setNow(began.Add(2 * time.Hour))
	users := func(selector string) string {
		out := w.kubectl("get", "arec", "-n", ns, "-o", "jsonpath={range .items[*]}{.user}:{.result} {end}", "--field-selector", selector)
		return strings.TrimSpace(out)
	}
	for selector, want := range map[string]string{
		"user=taro":                           "taro:Success taro:Failure",
		"user=taro,result=Failure":            "taro:Failure",
		"result=failure,program=Viewer":       "taro:Failure",
		"program=client":                      "",
		"reason=devicemismatch":               "taro:Failure",
		"viewer=PC":                           "jiro:Success taro:Success",
		"userName=JIRO":                       "jiro:Success",
		"macAddress=0000.5E00.5301,user=jiro": "jiro:Success",
		"sourceAddress=2001:DB8:0::1":         "taro:Failure",
		"since=65m":                           "jiro:Success",
		"since=1d,until=0d":                   "jiro:Success taro:Success taro:Failure",
		"until=65m":                           "taro:Success taro:Failure",
		"since=2026-11-15T19:18:00+09:00,until=2026-11-15T11:17:00Z": "taro:Success",
		"metadata.namespace=kube-system":                             "",
		"metadata.name=" + nameOf(records[2].ID):                     "jiro:Success",
		"metadata.name=nonsense":                                     "",
	} {
		t.Run(selector, func(t *testing.T) {
			if got := users(selector); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	for selector, want := range map[string]string{
		"usr=taro":          `field "usr" cannot be selected; there are destination, deviceDigest, listener`,
		"user!=taro":        "only user=VALUE can be asked for",
		"result=sideways":   `result: "sideways" is none of [Success Failure]`,
		"reason=Mismatch":   "DeviceMismatch",
		"since=yesterday":   "neither a time such as",
		"since=-2h":         "neither a time such as",
		"since=-7d":         "neither a time such as",
		"user=a,user=b":     "user is given twice",
		"user=":             "user has no value",
		"sourceAddress=a.b": "is no IP address",
		"macAddress=xyz":    "is no MAC address",
	} {
		t.Run(selector, func(t *testing.T) {
			if out := w.refused("get", "arec", "-n", ns, "--field-selector", selector); !strings.Contains(out, want) {
				t.Errorf("kubectl says %q, want %q", out, want)
			}
		})
	}
	if out := w.refused("get", "arec", "-n", ns, "-l", "a=b"); !strings.Contains(out, "have no labels") {
		t.Errorf("with labels kubectl says %q", out)
	}
}

func TestRBACDecidesWhoReads(t *testing.T) {
	w := newWorld(t)
	mine, theirs := w.env.Namespace(t), w.env.Namespace(t)
	w.keep(mine, success(began, "taro"))
	w.keep(theirs, success(began, "hanako"))
	reader, err := w.env.ControlPlane.UserConfig("reader-" + mine)
	if err != nil {
		t.Fatal(err)
	}
	w.bind(mine, "tegata-history-reader", rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "reader-" + mine})
	as := func(args ...string) (string, error) {
		out, errs, err := w.env.KubectlAs(t, reader, "", args...)
		return out + errs, err
	}
	for _, resource := range []string{"accessrecords", "userusages"} {
		if out, err := as("get", resource, "-n", mine); err != nil || !strings.Contains(out, "taro") {
			t.Errorf("%s of the own namespace: %v\n%s", resource, err, out)
		}
		for _, where := range [][]string{{"-n", theirs}, {"-A"}} {
			if out, err := as(append([]string{"get", resource}, where...)...); err == nil || !strings.Contains(out, "Forbidden") || strings.Contains(out, "hanako") {
				t.Errorf("%s %v: %v\n%s", resource, where, err, out)
			}
		}
	}
	if out, err := as("get", "arec", "-n", mine, "--field-selector", "metadata.namespace="+theirs); err != nil || strings.Contains(out, "hanako") {
		t.Errorf("another namespace by a selector: %v\n%s", err, out)
	}
	if out, err := as("delete", "--raw", fmt.Sprintf("/apis/history.tegata.dev/v1alpha1/namespaces/%s/accessrecords?fieldSelector=user%%3Dtaro", mine)); err == nil || !strings.Contains(out, "orbidden") {
		t.Errorf("a reader erases: %v\n%s", err, out)
	}
}

func TestForget(t *testing.T) {
	w := newWorld(t)
	ns, other := w.env.Namespace(t), w.env.Namespace(t)
	w.keep(ns, success(began, "taro"), failure(began, "taro", "DeviceMismatch"), success(began, "jiro"))
	w.keep(other, success(began, "taro"))
	path := "/apis/history.tegata.dev/v1alpha1/namespaces/" + ns + "/accessrecords"
	for _, query := range []string{
		"", "?fieldSelector=result%3DFailure", "?fieldSelector=user%3Dtaro,result%3DFailure", "?fieldSelector=userName%3DTARO",
		"?fieldSelector=user%3Dtaro&limit=1", "?labelSelector=a%3Db", "?fieldSelector=user%3Dtaro&dryRun=All",
	} {
		if out := w.refused("delete", "--raw", path+query); !strings.Contains(out, "BadRequest") && !strings.Contains(out, "rror") {
			t.Errorf("%s: %s", query, out)
		}
	}
	if n := len(w.store.sorted()); n != 4 {
		t.Fatalf("%d records are left of 4 after refused requests", n)
	}
	eraser, err := w.env.ControlPlane.UserConfig("eraser-" + ns)
	if err != nil {
		t.Fatal(err)
	}
	w.bind(ns, "tegata-history-eraser", rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "eraser-" + ns})
	if out, errs, err := w.env.KubectlAs(t, eraser, "", "delete", "--raw", path+"?fieldSelector=user%3Dtaro"); err != nil || !strings.Contains(out, "2 records erased") {
		t.Errorf("answer %s%s", out, errs)
	}
	if out, errs, err := w.env.KubectlAs(t, eraser, "", "get", "arec", "-n", ns); err == nil || !strings.Contains(errs, "Forbidden") {
		t.Errorf("who may erase reads: %s%s", out, errs)
	}
	if n := len(w.store.sorted()); n != 2 {
		t.Errorf("%d records are left, want jiro's and the other namespace's", n)
	}
}

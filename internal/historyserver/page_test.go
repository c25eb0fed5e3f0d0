package historyserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tegata-dev/tegata/internal/history"
)

func TestPages(t *testing.T) {
	w := newWorld(t)
	ns := w.env.Namespace(t)
	records := w.dynamic().Resource(recordsGVR).Namespace(ns)
	const n = history.MaxPage + 5
	many := make([]history.Record, n)
	for i := range many {
		many[i] = success(began.Add(time.Duration(i)*time.Second), "taro")
	}
	w.keep(ns, many...)
	w.setNow(began.Add(n * time.Second))
	list := func(options metav1.ListOptions) *unstructured.UnstructuredList {
		t.Helper()
		page, err := records.List(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}

	t.Run("a list without a limit is a page", func(t *testing.T) {
		page := list(metav1.ListOptions{})
		if len(page.Items) != history.MaxPage || page.GetContinue() == "" {
			t.Fatalf("%d records, continue %q", len(page.Items), page.GetContinue())
		}
		rest := list(metav1.ListOptions{Continue: page.GetContinue()})
		if len(rest.Items) != 5 || rest.GetContinue() != "" || rest.GetResourceVersion() != page.GetResourceVersion() {
			t.Errorf("the rest has %d records, continue %q, version %s and not %s", len(rest.Items), rest.GetContinue(), rest.GetResourceVersion(), page.GetResourceVersion())
		}
		if last := rest.Items[4].GetName(); last != nameOf(many[0].ID) {
			t.Errorf("the last one is %s, want the oldest", last)
		}
	})
	t.Run("what is recorded meanwhile moves nothing", func(t *testing.T) {
		first := list(metav1.ListOptions{Limit: 2})
		w.keep(ns, success(w.now(), "jiro"))
		second := list(metav1.ListOptions{Limit: 2, Continue: first.GetContinue()})
		if got, want := second.Items[0].GetName(), nameOf(many[n-3].ID); got != want {
			t.Errorf("the second page begins with %s, want %s", got, want)
		}
	})
	t.Run("two hours ago stay where they were", func(t *testing.T) {
		options := metav1.ListOptions{Limit: 2, FieldSelector: "user=taro,since=3s"}
		first := list(options)
		now := w.now()
		w.setNow(w.now().Add(time.Hour))
		defer func() { w.setNow(now) }()
		options.Continue = first.GetContinue()
		if second := list(options); len(second.Items) != 1 || second.GetContinue() != "" {
			t.Errorf("the second page has %d records, want the third of three", len(second.Items))
		}
	})
	t.Run("tokens of others", func(t *testing.T) {
		good := list(metav1.ListOptions{Limit: 1}).GetContinue()
		for name, options := range map[string]metav1.ListOptions{
			"nonsense":        {Continue: "nonsense"},
			"not base64":      {Continue: "$$$"},
			"other selectors": {Continue: good, FieldSelector: "user=taro"},
			"far too long":    {Continue: fmt.Sprintf("%05000d", 1)},
		} {
			if _, err := records.List(t.Context(), options); !apierrors.IsResourceExpired(err) {
				t.Errorf("%s: %v, want 410 Expired", name, err)
			}
		}
		elsewhere := w.dynamic().Resource(recordsGVR).Namespace(w.env.Namespace(t))
		if _, err := elsewhere.List(t.Context(), metav1.ListOptions{Continue: good}); !apierrors.IsResourceExpired(err) {
			t.Errorf("in another namespace: %v, want 410 Expired", err)
		}
	})
	t.Run("versions that were not", func(t *testing.T) {
		for name, options := range map[string]metav1.ListOptions{
			"exact":    {ResourceVersion: "1", ResourceVersionMatch: metav1.ResourceVersionMatchExact},
			"nonsense": {ResourceVersion: "x"},
		} {
			if _, err := records.List(t.Context(), options); !apierrors.IsBadRequest(err) {
				t.Errorf("%s: %v, want 400", name, err)
			}
		}
		// Not through client-go, which would try again for long.
		response, err := w.client(w.certificate("admin", "system:masters")).Get(w.place.URL + "/apis/history.tegata.dev/v1alpha1/accessrecords?resourceVersion=999999")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var status metav1.Status
		if err := json.NewDecoder(response.Body).Decode(&status); err != nil || response.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("of the future: %s %v", response.Status, status)
		}
	})
}

// TestUIDs: a cache by UID must not take one namespace's record for another's.
func TestUIDs(t *testing.T) {
	uids := map[types.UID]string{}
	a, b := success(began, "taro"), success(began, "taro")
	for _, r := range []history.Record{a, b} {
		for _, r.Namespace = range []string{"relays", "other", ""} {
			uid := toAPI(&r, "1").UID
			if parsed, err := uuid.Parse(string(uid)); err != nil || parsed.Version() != 5 {
				t.Errorf("%q: %v", uid, err)
			}
			if uid != toAPI(&r, "2").UID || uids[uid] != "" {
				t.Errorf("%s of %s has the UID of %s", r.ID, r.Namespace, uids[uid])
			}
			uids[uid] = r.ID.String() + " of " + r.Namespace
		}
	}
}

func TestConvert(t *testing.T) {
	open := success(began, "taro")
	open.End, open.EndTime, open.LastSeen = history.EndNone, 0, history.At(began.Add(1500*time.Millisecond))
	lost := open
	lost.End, lost.EndTime = history.Lost, lost.LastSeen
	for name, tc := range map[string]struct {
		record history.Record
		want   string
	}{
		"open":    {open, "Open  <nil> 1.5s"},
		"lost":    {lost, "Lost Lost 2026-11-15 10:17:01.5 +0000 UTC 1.5s"},
		"ended":   {success(began, "taro"), "Ended Logout 2026-11-15 10:29:23 +0000 UTC 12m23s"},
		"failure": {failure(began, "taro", "DeviceMismatch"), "  2026-11-15 10:17:00 +0000 UTC <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			got := toAPI(&tc.record, "1")
			var duration any
			if got.Duration != nil {
				duration = got.Duration.Duration
			}
			var end any
			if got.EndTime != nil {
				end = got.EndTime.UTC()
			}
			if diff := cmp.Diff(tc.want, fmt.Sprint(string(got.State)+" "+string(got.End)+" ", end, " ", duration)); diff != "" {
				t.Errorf("state, end, end time and duration (-want +got):\n%s", diff)
			}
		})
	}
}

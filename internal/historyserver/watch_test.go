package historyserver

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

var recordsGVR = v1alpha1.GroupVersion.WithResource("accessrecords")

func (w *world) dynamic() dynamic.Interface {
	w.Helper()
	client, err := dynamic.NewForConfig(w.env.Config)
	if err != nil {
		w.Fatal(err)
	}
	return client
}

// follow is a watch through the API server.
func (w *world) follow(namespace string, options metav1.ListOptions) watch.Interface {
	w.Helper()
	watching, err := w.dynamic().Resource(recordsGVR).Namespace(namespace).Watch(w.Context(), options)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(watching.Stop)
	return watching
}

// next is the type of the next event and the user of its record.
func next(t *testing.T, watching watch.Interface) (kind watch.EventType, object *unstructured.Unstructured) {
	t.Helper()
	select {
	case event, ok := <-watching.ResultChan():
		if !ok {
			t.Fatal("the watch has ended")
		}
		if event.Type == watch.Error {
			return event.Type, nil
		}
		got, ok := event.Object.(*unstructured.Unstructured)
		if !ok {
			t.Fatalf("event %+v", event)
		}
		return event.Type, got
	case <-time.After(20 * time.Second):
		t.Fatal("no event in 20 s")
	}
	return "", nil
}

func expect(t *testing.T, watching watch.Interface, kind watch.EventType, user string) *unstructured.Unstructured {
	t.Helper()
	got, object := next(t, watching)
	if object == nil {
		t.Fatalf("got %s, want %s of %s", got, kind, user)
	}
	if object.Object["user"] != user || got != kind {
		t.Fatalf("got %s %v, want %s of %s", got, object.Object, kind, user)
	}
	return object
}

func TestWatch(t *testing.T) {
	w := newWorld(t)
	ns := w.env.Namespace(t)
	first := success(began, "taro")
	w.keep(ns, first)
	list, err := w.dynamic().Resource(recordsGVR).Namespace(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}

	t.Run("from a list on", func(t *testing.T) {
		watching := w.follow(ns, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		w.keep(ns, success(began.Add(time.Minute), "jiro"))
		version := expect(t, watching, watch.Added, "jiro").GetResourceVersion()
		again := first
		again.SentBytes = 9999
		w.keep(ns, again)
		if got := expect(t, watching, watch.Modified, "taro").GetResourceVersion(); got == version {
			t.Errorf("both changes have version %s", got)
		}
		resumed := w.follow(ns, metav1.ListOptions{ResourceVersion: version})
		expect(t, resumed, watch.Modified, "taro")
	})
	t.Run("what there is first", func(t *testing.T) {
		initial := true
		watching := w.follow(ns, metav1.ListOptions{
			SendInitialEvents: &initial, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		})
		expect(t, watching, watch.Added, "jiro")
		expect(t, watching, watch.Added, "taro")
		kind, mark := next(t, watching)
		if kind != watch.Bookmark || mark.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
			t.Errorf("got %s %v, want the mark that this was all", kind, mark)
		}
		expect(t, w.follow(ns, metav1.ListOptions{}), watch.Added, "jiro")
	})
	t.Run("selectors hold", func(t *testing.T) {
		watching := w.follow(ns, metav1.ListOptions{ResourceVersion: list.GetResourceVersion(), FieldSelector: "user=saburo,result=Failure"})
		w.keep(ns, success(began.Add(time.Minute), "saburo"), failure(began.Add(2*time.Minute), "saburo", "DeviceMismatch"))
		if got := expect(t, watching, watch.Added, "saburo"); got.Object["result"] != "Failure" {
			t.Errorf("got %v, want the failure", got.Object)
		}
	})
	t.Run("another namespace is another's", func(t *testing.T) {
		watching := w.follow(w.env.Namespace(t), metav1.ListOptions{AllowWatchBookmarks: true, ResourceVersion: list.GetResourceVersion()})
		w.keep(ns, success(began.Add(3*time.Minute), "shiro"))
		select {
		case event := <-watching.ResultChan():
			t.Errorf("got %+v", event)
		case <-time.After(300 * time.Millisecond):
		}
	})
	t.Run("erased", func(t *testing.T) {
		now, err := w.dynamic().Resource(recordsGVR).Namespace(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		watching := w.follow(ns, metav1.ListOptions{ResourceVersion: now.GetResourceVersion()})
		w.kubectl("delete", "--raw", "/apis/history.tegata.dev/v1alpha1/namespaces/"+ns+"/accessrecords?fieldSelector=user%3Dtaro")
		expect(t, watching, watch.Deleted, "taro")
	})
	t.Run("too old", func(t *testing.T) {
		w.store.forgetChanges()
		watching := w.follow(ns, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		event := <-watching.ResultChan()
		if err := apierrors.FromObject(event.Object); !apierrors.IsResourceExpired(err) {
			t.Errorf("got %+v, want 410 Expired", event)
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		for _, options := range []metav1.ListOptions{{ResourceVersion: "x"}, {FieldSelector: "usr=a"}, {LabelSelector: "a=b"}} {
			if watching, err := w.dynamic().Resource(recordsGVR).Namespace(ns).Watch(t.Context(), options); err == nil {
				watching.Stop()
				t.Errorf("%+v is watched", options)
			}
		}
	})
}

// TestInformer has client-go's own list and watch follow the records.
func TestInformer(t *testing.T) {
	w := newWorld(t)
	ns := w.env.Namespace(t)
	w.keep(ns, success(began, "taro"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	informer := dynamicinformer.NewFilteredDynamicInformer(w.dynamic(), recordsGVR, ns, 0, cache.Indexers{}, nil).Informer()
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("not synced")
	}
	w.keep(ns, success(began.Add(time.Minute), "jiro"))
	testenv.Eventually(t, 20*time.Second, func() error {
		if n := len(informer.GetStore().ListKeys()); n != 2 {
			return apierrors.NewBadRequest(strings.Join(informer.GetStore().ListKeys(), " "))
		}
		return nil
	})
}

// TestWatchesAreBounded has some take all that they get: others still watch, until there is room for nobody.
func TestWatchesAreBounded(t *testing.T) {
	w := newWorld(t)
	watchAs := func(client *http.Client, want int) {
		t.Helper()
		// Not through client-go, which would try again for ten seconds.
		response, err := client.Get(w.place.URL + "/apis/history.tegata.dev/v1alpha1/accessrecords?watch=1&resourceVersion=0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		if response.StatusCode != want || want == http.StatusTooManyRequests && response.Header.Get("Retry-After") == "" {
			t.Fatalf("answered %s, want %d", response.Status, want)
		}
	}
	reader := func(n int) *http.Client {
		client := w.client(w.certificate(fmt.Sprintf("reader-%d", n), "system:masters"))
		client.Timeout = 0
		return client
	}
	for n := range maxWatches / maxWatchesOfOne {
		client := reader(n)
		for range maxWatchesOfOne {
			watchAs(client, http.StatusOK)
		}
		watchAs(client, http.StatusTooManyRequests)
	}
	watchAs(reader(maxWatches/maxWatchesOfOne), http.StatusTooManyRequests)
}

package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/client-go/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWritesAwaited has logins of every kind ask a server through the proxy.
func TestWritesAwaited(t *testing.T) {
	const object = "/apis/tegata.dev/v1alpha1/namespaces/n/relayusers/u"
	const patience = 50 * time.Millisecond
	for name, tc := range map[string]struct {
		do   func(t *testing.T, ask func(method, path string)) error
		want int
	}{
		"nothing": {do: func(*testing.T, func(string, string)) error { return nil }},
		"a read": {do: func(_ *testing.T, ask func(string, string)) error {
			ask(http.MethodGet, object)
			return nil
		}},
		"one write that is waited for": {want: 1, do: func(_ *testing.T, ask func(string, string)) error {
			ask(http.MethodGet, object)
			ask(http.MethodPatch, object+"/status")
			return nil
		}},
		"two writes that are waited for": {want: 2, do: func(_ *testing.T, ask func(string, string)) error {
			ask(http.MethodPatch, object+"/status")
			ask(http.MethodPatch, object+"/status")
			return nil
		}},
		"a write in the background": {do: func(t *testing.T, ask func(string, string)) error {
			background := make(chan struct{})
			t.Cleanup(func() { <-background })
			go func() {
				defer close(background)
				ask(http.MethodPatch, object+"/status")
			}()
			return nil
		}},
		"a write to something else": {do: func(_ *testing.T, ask func(string, string)) error {
			ask(http.MethodPatch, object+"2/status")
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			t.Cleanup(upstream.Close)
			proxy, err := startProxy(&rest.Config{Host: upstream.URL})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := proxy.close(); err != nil {
					t.Error(err)
				}
			})
			got, err := proxy.writesAwaited(t.Context(), object, patience, func() error {
				return tc.do(t, func(method, path string) { ask(t, method, proxy.address+path) })
			})
			if err != nil || got != tc.want {
				t.Errorf("got %d, %v, want %d", got, err, tc.want)
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func ask(t *testing.T, method, url string) {
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url, http.NoBody)
	if err != nil {
		t.Error(err)
		return
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%s %s: %s, %v", method, url, response.Status, err)
	}
}

func TestWritesAwaitedTellsFailures(t *testing.T) {
	upstream := httptest.NewServer(http.NotFoundHandler())
	defer upstream.Close()
	proxy, err := startProxy(&rest.Config{Host: upstream.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := proxy.close(); err != nil {
			t.Error(err)
		}
	}()
	want := errors.New("login answered 401")
	if _, err := proxy.writesAwaited(t.Context(), "/x", time.Second, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

package historyserver

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/reasontext"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// sidecarOf makes a service account that may post for the server, as the manager does, and gives a token of it with
// the audience.
func (w *world) sidecarOf(namespace, server, audience string) string {
	w.Helper()
	name := server + "-sidecar"
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	account := &corev1.ServiceAccount{ObjectMeta: meta}
	if w.env.Client.Create(w.Context(), account) == nil {
		for _, err := range []error{
			w.env.Client.Create(w.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
				APIGroups: []string{"history.tegata.dev"}, Resources: []string{"accesslogs/records"}, ResourceNames: []string{server}, Verbs: []string{"create"},
			}}}),
			w.env.Client.Create(w.Context(), &rbacv1.RoleBinding{
				ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
				Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}, {Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name + "." + namespace}},
			}),
		} {
			if err != nil {
				w.Fatal(err)
			}
		}
	}
	request := &authenticationv1.TokenRequest{}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	account = &corev1.ServiceAccount{ObjectMeta: meta}
	if err := w.env.Client.SubResource("token").Create(w.Context(), account, request); err != nil {
		w.Fatal(err)
	}
	return request.Status.Token
}

// post is a request as a sidecar makes it.
type post struct {
	namespace, server string
	token             string
	media, encoding   string
	body              []byte
}

// reply is what a sidecar is told.
type reply struct {
	status     int
	retryAfter string
}

func (w *world) post(client *http.Client, p post) (got reply, body string) {
	w.Helper()
	header := http.Header{"Content-Type": {history.MediaType}}
	if p.media != "" {
		header.Set("Content-Type", p.media)
	}
	if p.encoding != "" {
		header.Set("Content-Encoding", p.encoding)
	}
	if p.token != "" {
		header.Set("Authorization", "Bearer "+p.token)
	}
	path := fmt.Sprintf("/apis/history.tegata.dev/v1alpha1/namespaces/%s/accesslogs/%s/records", p.namespace, p.server)
	return w.ask(client, http.MethodPost, path, header, p.body)
}

func encode(t *testing.T, records ...history.Record) []byte {
	t.Helper()
	var b []byte
	for i := range records {
		var err error
		if b, err = history.Append(b, &records[i]); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func zipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	if _, err := writer.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestSidecarsMayPostForTheirServerOnly(t *testing.T) {
	w := newWorld(t)
	mine, theirs := w.env.Namespace(t), w.env.Namespace(t)
	own := w.sidecarOf(mine, "asp1", "tegata-history")
	w.sidecarOf(mine, "asp2", "tegata-history")
	w.sidecarOf(theirs, "asp1", "tegata-history")
	client := w.client()
	tests := map[string]struct {
		client *http.Client
		post   post
		want   int
	}{
		"a token for the history":       {client, post{namespace: mine, server: "asp1", token: own}, http.StatusOK},
		"a token for the API server":    {client, post{namespace: mine, server: "asp1", token: w.sidecarOf(mine, "asp1", "")}, http.StatusOK},
		"a token for somebody else":     {client, post{namespace: mine, server: "asp1", token: w.sidecarOf(mine, "asp1", "vault")}, http.StatusUnauthorized},
		"a forged token":                {client, post{namespace: mine, server: "asp1", token: own[:len(own)-4] + "AAAA"}, http.StatusUnauthorized},
		"another server":                {client, post{namespace: mine, server: "asp2", token: own}, http.StatusForbidden},
		"another namespace":             {client, post{namespace: theirs, server: "asp1", token: own}, http.StatusForbidden},
		"nobody":                        {client, post{namespace: mine, server: "asp1"}, http.StatusForbidden},
		"a certificate":                 {w.client(w.certificate("asp1-sidecar." + mine)), post{namespace: mine, server: "asp1"}, http.StatusOK},
		"a certificate of another":      {w.client(w.certificate("asp1-sidecar." + theirs)), post{namespace: mine, server: "asp1"}, http.StatusForbidden},
		"a certificate of no authority": {w.client(stranger(t, "asp1-sidecar."+mine)), post{namespace: mine, server: "asp1"}, http.StatusForbidden},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before := len(w.store.sorted())
			tc.post.body = encode(t, success(began, "taro"))
			response, body := w.post(tc.client, tc.post)
			if response.status != tc.want {
				t.Errorf("answer %d %s, want %d", response.status, body, tc.want)
			}
			if kept := len(w.store.sorted()) - before; (kept == 1) != (tc.want == http.StatusOK) {
				t.Errorf("%d records are kept", kept)
			}
		})
	}
	for _, r := range w.store.sorted() {
		if r.Namespace != mine || r.Server != "asp1" {
			t.Errorf("a record of %s/%s", r.Namespace, r.Server)
		}
	}
	t.Run("a sidecar cannot read", func(t *testing.T) {
		config := w.env.ServiceAccountConfig(t, mine, "asp1-sidecar")
		if out, errs, err := w.env.KubectlAs(t, config, "", "get", "arec", "-n", mine); err == nil || !strings.Contains(errs, "orbidden") {
			t.Errorf("kubectl get: %v\n%s%s", err, out, errs)
		}
	})
	t.Run("nobody reads", func(t *testing.T) {
		for _, path := range []string{"/apis/history.tegata.dev/v1alpha1/accessrecords", "/metrics", "/openapi/v2"} {
			response, err := client.Get(w.place.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %s", path, response.Status)
			}
		}
	})
	t.Run("nobody forwards", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.place.URL+"/apis/history.tegata.dev/v1alpha1/accessrecords", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Remote-User", "admin")
		request.Header.Set("X-Remote-Group", "system:masters")
		response, err := w.client(w.certificate("front-proxy-client")).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("headers of one who may not forward are answered %s", response.Status)
		}
	})
}

func TestIngest(t *testing.T) {
	w := newWorld(t)
	ns := w.env.Namespace(t)
	token, client := w.sidecarOf(ns, "asp1", "tegata-history"), w.client()
	send := func(p post) (reply, string) {
		p.namespace, p.server, p.token = ns, "asp1", token
		return w.post(client, p)
	}
	bad, early := success(began, "taro"), success(w.now().Add(2*time.Hour), "taro")
	bad.Slot = "tv"
	ancient := success(w.now().Add(-maxBehind-time.Hour), "taro")
	yetToBe := success(w.now(), "taro")
	yetToBe.End, yetToBe.EndTime, yetToBe.LastSeen = history.EndNone, 0, history.At(w.now().Add(2*time.Hour))
	good := []history.Record{success(began, "taro"), failure(began, "taro", "MadeUp")}
	mixed := encode(t, good[0], bad, early, good[1], ancient, yetToBe)

	for _, encoding := range []string{"", "gzip"} {
		body := mixed
		if encoding == "gzip" {
			body = zipped(t, mixed)
		}
		response, text := send(post{body: body, encoding: encoding})
		var got answer
		if err := json.Unmarshal([]byte(text), &got); err != nil || response.status != http.StatusOK {
			t.Fatalf("%d %s", response.status, text)
		}
		want := answer{Kept: 2, Refused: []refusal{
			{Index: 1, ID: bad.ID.String(), Error: got.Refused[0].Error}, {Index: 2, ID: early.ID.String(), Error: "clock: it began more than an hour from now"},
			{Index: 4, ID: ancient.ID.String(), Error: "clock: it began longer ago than any record is kept"},
			{Index: 5, ID: yetToBe.ID.String(), Error: "clock: it was alive more than an hour from now"},
		}}
		if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(got.Refused[0].Error, "none of those") {
			t.Errorf("answer %s (-want +got):\n%s", text, diff)
		}
	}
	if response, text := send(post{}); response.status != http.StatusOK || text != `{"kept":0,"dropped":0,"refused":[]}`+"\n" {
		t.Errorf("nothing is answered %d %s", response.status, text)
	}
	kept := w.store.sorted()
	if len(kept) != 2 || !slices.ContainsFunc(kept, func(r history.Record) bool { return r.Reason == string(reasontext.Other) }) {
		t.Errorf("kept %+v, want 2, and no reason that was made up", kept)
	}

	many := make([]history.Record, history.MaxBatch+1)
	for i := range many {
		many[i] = success(began, "taro")
	}
	hostile := map[string]struct {
		post post
		want int
	}{
		"cut off":           {post{body: mixed[:len(mixed)-1]}, http.StatusBadRequest},
		"JSON":              {post{body: []byte(`{}`), media: "application/json"}, http.StatusUnsupportedMediaType},
		"no media type":     {post{body: mixed, media: " "}, http.StatusUnsupportedMediaType},
		"unheard-of packed": {post{body: mixed, encoding: "br"}, http.StatusUnsupportedMediaType},
		"packed twice":      {post{body: zipped(t, mixed), encoding: "gzip, gzip"}, http.StatusUnsupportedMediaType},
		"not packed":        {post{body: mixed, encoding: "gzip"}, http.StatusBadRequest},
		"packed, cut off":   {post{body: zipped(t, mixed)[:40], encoding: "gzip"}, http.StatusBadRequest},
		"too large":         {post{body: make([]byte, maxBody+1)}, http.StatusRequestEntityTooLarge},
		"a bomb":            {post{body: zipped(t, make([]byte, 256<<20)), encoding: "gzip"}, http.StatusRequestEntityTooLarge},
		"too many":          {post{body: zipped(t, encode(t, many...)), encoding: "gzip"}, http.StatusBadRequest},
	}
	for name, tc := range hostile {
		t.Run(name, func(t *testing.T) {
			if response, text := send(tc.post); response.status != tc.want || !strings.Contains(text, `"kind":"Status"`) {
				t.Errorf("answer %d %s, want %d", response.status, text, tc.want)
			}
		})
	}

	t.Run("the database is away", func(t *testing.T) {
		w.store.fail(errDatabase)
		defer w.store.fail(nil)
		response, text := send(post{body: mixed})
		if response.status != http.StatusServiceUnavailable || response.retryAfter == "" || strings.Contains(text, errDatabase.Error()) {
			t.Errorf("answer %d %s", response.status, text)
		}
		if err := w.healthy("/readyz"); err == nil {
			t.Error("it is ready")
		}
		if err := w.healthy("/livez"); err != nil {
			t.Error(err)
		}
		// Not by kubectl, which would try again for ten seconds.
		admin := w.client(w.certificate("admin", "system:masters"))
		read, told := w.ask(admin, http.MethodGet, "/apis/history.tegata.dev/v1alpha1/accessrecords", nil, nil)
		if read.status != http.StatusServiceUnavailable || strings.Contains(told, errDatabase.Error()) {
			t.Errorf("a reader is told %d %s", read.status, told)
		}
	})
	t.Run("a path that can be no RelayServer's", func(t *testing.T) {
		admin := w.client(w.certificate("admin", "system:masters"))
		for _, server := range []string{"%00", "a%1b%5b31m", "ASP1", strings.Repeat("a", 300)} {
			if response, text := w.post(admin, post{namespace: ns, server: server, body: mixed}); response.status != http.StatusBadRequest {
				t.Errorf("%s: answer %d %s", server, response.status, text)
			}
		}
	})
	t.Run("too many at a time", func(t *testing.T) {
		w.store.gate = make(chan struct{})
		answers := make(chan int, maxBatches)
		fill := func(server string) {
			token := w.sidecarOf(ns, server, "tegata-history")
			for range maxBatchesOfOne {
				go func() {
					response, _ := w.post(client, post{namespace: ns, server: server, token: token, body: mixed})
					answers <- response.status
				}()
			}
		}
		probe := func(server string, want int) {
			t.Helper()
			token := w.sidecarOf(ns, server, "tegata-history")
			testenv.Eventually(t, 20*time.Second, func() error {
				response, text := w.post(client, post{namespace: ns, server: server, token: token, media: "x/y"}) // takes a place, if there is one, for no time
				if response.status != want || want == http.StatusTooManyRequests && response.retryAfter == "" {
					return fmt.Errorf("answer %d %s", response.status, text)
				}
				return nil
			})
		}
		fill("asp1")
		probe("asp1", http.StatusTooManyRequests)
		probe("asp2", http.StatusUnsupportedMediaType) // one server's batches do not keep out another's
		for n := 2; n <= maxBatches/maxBatchesOfOne; n++ {
			fill(fmt.Sprintf("asp%d", n))
		}
		probe("asp9", http.StatusTooManyRequests)
		close(w.store.gate)
		for range maxBatches {
			if status := <-answers; status != http.StatusOK {
				t.Errorf("a batch that waited is answered %d", status)
			}
		}
	})
}

func TestRestart(t *testing.T) {
	w := newWorld(t)
	ns := w.env.Namespace(t)
	token := w.sidecarOf(ns, "asp1", "tegata-history")
	body := encode(t, success(began, "taro"))
	p := post{namespace: ns, server: "asp1", token: token, body: body}
	if response, text := w.post(w.client(), p); response.status != http.StatusOK {
		t.Fatal(text)
	}
	w.end()
	w.start()
	if response, text := w.post(w.client(), p); response.status != http.StatusOK || !strings.Contains(text, `"kept":1`) {
		t.Errorf("sent again, it is answered %s", text)
	}
	testenv.Eventually(t, 30*time.Second, func() error {
		out, errs, err := w.env.Kubectl(t, "", "get", "arec", "-n", ns)
		if err != nil || strings.Count(out, "taro") != 1 {
			return fmt.Errorf("%w: %s%s", err, out, errs)
		}
		return nil
	})
}

package forwardauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/listenertest"
)

// ask has a request answered without a network.
func ask(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// toAuth is what a gateway asks, with "Name: value" headers.
func toAuth(headers ...string) *http.Request {
	return with(httptest.NewRequest(http.MethodGet, "/v1/auth", http.NoBody), headers...)
}

func with(r *http.Request, headers ...string) *http.Request {
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

const basicHeader = "Authorization: Basic aGFuYWtvOnB3" // hanako:pw

func withCookie(token string) string { return "Cookie: a=b; " + bearer.CookieName + "=" + token }

func TestContractAtTheGateway(t *testing.T) {
	for name, session := range map[string]string{"bearer": "Authorization: Bearer ", "cookie": "Cookie: theme=dark; __Host-tegata-session="} {
		t.Run(name, func(t *testing.T) {
			listenertest.Contract{
				Name: ListenerName,
				New: func(_ testing.TB, s *listenertest.Service) listenertest.Listener {
					h := newHandler(s)
					return listenertest.Listener{
						Login: func(t testing.TB) listenertest.Reply {
							return gatewayReply(t, ask(h, toAuth(basicHeader, "X-Tegata-Device: aaaaaaaa", "X-Tegata-Viewer: pc")))
						},
						Check: func(t testing.TB, token string) listenertest.Reply {
							return gatewayReply(t, ask(h, toAuth(session+token)))
						},
					}
				},
				LoginTells: []listenertest.Fact{listenertest.FactUser, listenertest.FactSlot, listenertest.FactSession, listenertest.FactToken},
				CheckTells: []listenertest.Fact{listenertest.FactUser, listenertest.FactSlot, listenertest.FactSession},
			}.Run(t)
		})
	}
}

// gatewayReply also checks that the header and the body of a denial say the same.
func gatewayReply(t testing.TB, w *httptest.ResponseRecorder) listenertest.Reply {
	t.Helper()
	r := listenertest.Reply{Admitted: w.Code == http.StatusOK, Bytes: wire(w)}
	if !r.Admitted {
		var body, header any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(w.Header().Get(denialHeader)), &header); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(body, header); diff != "" {
			t.Errorf("the header is not the body (-body +header):\n%s", diff)
		}
		return r
	}
	r.Tells = map[listenertest.Fact]string{
		listenertest.FactUser: w.Header().Get(userHeader), listenertest.FactSlot: w.Header().Get(slotHeader),
		listenertest.FactSession: w.Header().Get(sessionHeader), listenertest.FactToken: cookieOf(w),
	}
	return r
}

// cookieOf is the token in the cookie that a reply sets.
func cookieOf(w *httptest.ResponseRecorder) string {
	for _, c := range w.Result().Cookies() {
		if c.Name == bearer.CookieName {
			return c.Value
		}
	}
	return ""
}

// wire is all of an answer, in a fixed order.
func wire(w *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintln(&b, w.Code)
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		fmt.Fprintln(&b, name, w.Header()[name])
	}
	return b.String() + w.Body.String()
}

func TestContractOfTheBrowsersLogin(t *testing.T) {
	listenertest.Contract{
		Name: ListenerName,
		New: func(_ testing.TB, s *listenertest.Service) listenertest.Listener {
			h := newHandler(s)
			return listenertest.Listener{Login: func(t testing.TB) listenertest.Reply { return browserReply(t, ask(h, newLogin(goodBody))) }}
		},
		LoginTells: []listenertest.Fact{listenertest.FactSlot, listenertest.FactSession, listenertest.FactToken, listenertest.FactExpire},
	}.Run(t)
}

func browserReply(t testing.TB, w *httptest.ResponseRecorder) listenertest.Reply {
	t.Helper()
	r := listenertest.Reply{Admitted: w.Code == http.StatusOK, Bytes: wire(w)}
	if !r.Admitted {
		return r
	}
	if strings.Contains(w.Body.String(), listenertest.Token) {
		t.Errorf("the token is where scripts can read it: %s", w.Body)
	}
	var body struct {
		Slot, ExpireTime string
		Session          struct{ ID string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	r.Tells = map[listenertest.Fact]string{
		listenertest.FactSlot: body.Slot, listenertest.FactExpire: body.ExpireTime,
		listenertest.FactSession: body.Session.ID, listenertest.FactToken: cookieOf(w),
	}
	return r
}

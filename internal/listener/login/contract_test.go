package login

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/listenertest"
)

func TestContract(t *testing.T) {
	listenertest.Contract{
		Name: ListenerName,
		New: func(_ testing.TB, s *listenertest.Service) listenertest.Listener {
			h := NewHandler(s)
			return listenertest.Listener{Login: func(t testing.TB) listenertest.Reply {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, newLogin(goodBody))
				return reply(t, w)
			}}
		},
		LoginTells: []listenertest.Fact{
			listenertest.FactSlot, listenertest.FactSession, listenertest.FactToken, listenertest.FactExpire,
		},
	}.Run(t)
}

func reply(t testing.TB, w *httptest.ResponseRecorder) listenertest.Reply {
	t.Helper()
	r := listenertest.Reply{Admitted: w.Code == http.StatusOK, Bytes: wire(w)}
	if !r.Admitted {
		return r
	}
	var body struct {
		Slot, ExpireTime string
		Session          struct{ ID, Token string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	r.Tells = map[listenertest.Fact]string{
		listenertest.FactSlot: body.Slot, listenertest.FactExpire: body.ExpireTime,
		listenertest.FactSession: body.Session.ID, listenertest.FactToken: body.Session.Token,
	}
	return r
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

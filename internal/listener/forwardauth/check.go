package forwardauth

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/httpreply"
)

// The headers that the application behind the gateway is told, in the spelling that net/http keeps.
const (
	userHeader    = "X-Tegata-User"
	slotHeader    = "X-Tegata-Slot"
	sessionHeader = "X-Tegata-Session"
)

// check answers a gateway. It tries the session first: of a login that comes with each request, only the first
// is to cost a hash.
func (h *handler) check(w http.ResponseWriter, r *http.Request) {
	arrival := time.Now()
	shown := credentialOf(r.Header)
	id := ""
	if shown.session {
		result := h.service.CheckSession(r.Context(), authn.SessionAttempt{
			Listener: ListenerName, Arrival: arrival, Token: shown.token, Source: h.origin(r).source,
		})
		if result.Allowed() {
			admit(w, result.User, result.Slot.String(), result.SessionID)
			return
		}
		id = result.ID
	}
	switch {
	case shown.login:
		h.logInOnce(w, r, arrival)
	case shown.session:
		if h.enter(w) {
			defer h.leave()
			h.deny(w, r, arrival, id)
		}
	default:
		// Who shows nothing learns nothing: there is no decision whose time could tell.
		h.metrics.failed(causeNoCredential)
		h.writeDenied(w, r, authn.NewCorrelationID(arrival))
	}
}

// shown is what a request shows for itself.
type shown struct {
	// session says that a session's token is shown; it is empty when it is shown in a way that cannot be read.
	session bool
	token   string
	// login says that a login name and a password are.
	login bool
}

// credentialOf finds what a request shows. A bearer token counts before the cookie, which browsers send whether
// or not the program that they run wants it; a cookie counts before Basic, which costs a hash.
func credentialOf(header http.Header) shown {
	authorization := header["Authorization"]
	if len(authorization) > 1 {
		return shown{session: true} // whichever the gateway's other half would believe
	}
	var s shown
	if len(authorization) == 1 {
		if token, ok := bearer.Token(authorization[0]); ok {
			return shown{session: true, token: token}
		}
		s.login = bearer.IsBasic(authorization[0])
	}
	for _, cookies := range header["Cookie"] {
		if token, ok := bearer.Cookie(cookies); ok {
			s.session, s.token = true, token
			break
		}
	}
	return s
}

// logInOnce logs in by Basic, and has the gateway hand on the cookie that serves from then on.
func (h *handler) logInOnce(w http.ResponseWriter, r *http.Request, arrival time.Time) {
	attempt, err := h.basicLogin(r)
	if err != nil {
		h.metrics.failed(causeInvalid)
		httpreply.Invalid(w, http.StatusBadRequest, err)
		return
	}
	if !h.enter(w) {
		return
	}
	defer h.leave()
	result := h.ask(r, attempt, arrival)
	if !result.Allowed() {
		h.deny(w, r, arrival, attempt.ID)
		return
	}
	setCookie(w, result)
	admit(w, result.Session.Details.User, result.Slot.String(), result.Session.ID)
}

// basicLogin is the login that a request shows by Basic.
func (h *handler) basicLogin(r *http.Request) (*authn.Attempt, error) {
	user, password, _ := bearer.Basic(r.Header.Get("Authorization"))
	login := bearer.Login{User: user, Password: password, Device: r.Header.Get(bearer.DeviceHeader), Viewer: r.Header.Get(bearer.ViewerHeader)}
	certificate, err := h.certificate(r)
	if err != nil {
		return nil, err
	}
	login.Certificate = certificate
	return login.Attempt()
}

// ask has the service answer a login.
func (h *handler) ask(r *http.Request, a *authn.Attempt, arrival time.Time) authn.Result {
	a.Listener, a.ID, a.Arrival, a.Source = ListenerName, authn.NewCorrelationID(arrival), arrival, h.origin(r).source
	return h.service.Check(r.Context(), a)
}

func setCookie(w http.ResponseWriter, result authn.Result) {
	w.Header().Set("Set-Cookie", bearer.SetCookie(result.Token, time.Now(), result.ExpireTime))
}

// noStore is shared: net/http does not change values.
var noStore = []string{"no-store"}

// admit lets a request pass. Without a slot the header is left out, and the gateway must not pass on one that
// the client has sent.
func admit(w http.ResponseWriter, user, slot, session string) {
	header := w.Header()
	values := [3]string{user, session, slot}
	header["Cache-Control"] = noStore
	header[userHeader] = values[0:1:1]
	header[sessionHeader] = values[1:2:2]
	if slot != "" {
		header[slotHeader] = values[2:3:3]
	}
	w.WriteHeader(http.StatusOK)
}

// inHeader writes JSON without its line end and in ASCII, which every header may hold.
func inHeader(encoded []byte) string {
	var b strings.Builder
	const hex = "0123456789abcdef"
	for _, r := range strings.TrimRight(string(encoded), "\n") {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			b.WriteString(`\u`)
			for shift := 12; shift >= 0; shift -= 4 {
				b.WriteByte(hex[unit>>shift&0xf])
			}
		}
	}
	return b.String()
}

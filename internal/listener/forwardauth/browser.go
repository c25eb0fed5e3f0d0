package forwardauth

import (
	"errors"
	"net/http"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/httpreply"
	"github.com/tegata-dev/tegata/internal/loginbody"
)

// errOrigin is told to a page of somebody else's that logs its visitor in or out.
var errOrigin = errors.New("the request comes from a page of another origin")

// fromOwnPage refuses what the page of another origin has its visitor's browser send. Besides, the body must be
// JSON, which forms cannot send, and no answer permits another origin to read it (CORS).
func (h *handler) fromOwnPage(w http.ResponseWriter, r *http.Request) bool {
	if h.origins.Check(r) == nil {
		return true
	}
	h.metrics.failed(causeOrigin)
	httpreply.Invalid(w, http.StatusForbidden, errOrigin)
	return false
}

// logIn answers a page of the application's own host.
func (h *handler) logIn(w http.ResponseWriter, r *http.Request) {
	body, err := loginbody.Read(w, r)
	if err != nil {
		h.invalid(w, err)
		return
	}
	// From here on the request is whole: a slow sender does not shorten the time of its own denial.
	arrival := time.Now()
	attempt, err := h.bodyLogin(r, body)
	if err != nil {
		h.invalid(w, err)
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
	// The token is in the cookie alone, where no script can read it.
	httpreply.JSON(w, "application/json", http.StatusOK, loginbody.NewAdmitted(result, attempt.ID, ""))
}

// bodyLogin is the login in a body. As with Basic, the device's certificate counts before what it reports, but not
// before what it proves.
func (h *handler) bodyLogin(r *http.Request, body *loginbody.Request) (*authn.Attempt, error) {
	attempt, err := body.Attempt(h.proofs, h.host())
	if err != nil || attempt.Proven != nil {
		return attempt, err
	}
	certificate, err := h.certificate(r)
	if err != nil {
		return nil, err
	}
	if certificate != nil {
		attempt.Fingerprint = certificate
	}
	return attempt, nil
}

func (h *handler) invalid(w http.ResponseWriter, err error) {
	h.metrics.failed(causeInvalid)
	httpreply.Invalid(w, loginbody.StatusOf(err), err)
}

// logOut ends the session that the request shows, and takes the cookie back. Where none is shown nobody is
// logged in.
func (h *handler) logOut(w http.ResponseWriter, r *http.Request) {
	if err := loginbody.CheckType(r.Header); err != nil {
		h.invalid(w, err)
		return
	}
	arrival := time.Now()
	shown := credentialOf(r.Header)
	if shown.session && !h.service.EndSession(shown.token, "") {
		if h.enter(w) {
			defer h.leave()
			h.deny(w, r, arrival, authn.NewCorrelationID(arrival))
		}
		return
	}
	w.Header().Set("Set-Cookie", bearer.SetCookie("", arrival, arrival))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

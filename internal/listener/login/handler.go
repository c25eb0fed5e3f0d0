// Package login is the HTTP listener at which a relay asks for one login, POST /v1/login, and ends what came of
// it, POST /v1/sessions/{id}/end. A device that proves itself needs a challenge first, POST /v1/challenges.
//
// It extracts an Attempt from a request and renders a Result, and holds denials back until their time;
// it has no policy of its own. openapi.yaml describes it.
package login

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/clientaddr"
	"github.com/tegata-dev/tegata/internal/denial"
	"github.com/tegata-dev/tegata/internal/httpreply"
	"github.com/tegata-dev/tegata/internal/loginbody"
	"github.com/tegata-dev/tegata/internal/proof"
)

// ListenerName labels this listener's metrics and logs.
const ListenerName = "login"

//go:embed openapi.yaml
var openAPI []byte

// Service answers logins; *authn.Service does.
type Service interface {
	Check(ctx context.Context, a *authn.Attempt) authn.Result
	EndSession(token, id string) bool
	Denial() authn.Denial
	Policy() *authn.Policy
}

var errPath = errors.New("there is nothing at this path; logins go to /v1/login")

// NewHandler serves the listener's paths. The challenges that it makes are good at this handler alone.
func NewHandler(s Service) http.Handler { return &handler{service: s, proofs: proof.NewVerifier(nil)} }

type handler struct {
	service Service
	proofs  *proof.Verifier
	denials denial.Renderer
}

// ServeHTTP takes paths as they are: http.ServeMux would answer some spellings with a redirect, which
// asks for the password to be sent once more.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if id, ok := sessionID(r.URL.Path); ok {
		if httpreply.MethodIs(w, r, http.MethodPost) {
			h.end(w, r, id)
		}
		return
	}
	switch r.URL.Path {
	case "/v1/login":
		if httpreply.MethodIs(w, r, http.MethodPost) {
			h.login(w, r)
		}
	case "/v1/challenges":
		if httpreply.MethodIs(w, r, http.MethodPost) {
			httpreply.JSON(w, "application/json", http.StatusOK, loginbody.NewChallenge(h.proofs, h.policy().Host))
		}
	case "/openapi.yaml":
		if httpreply.MethodIs(w, r, http.MethodGet, http.MethodHead) {
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = w.Write(openAPI)
		}
	default:
		httpreply.Invalid(w, http.StatusNotFound, errPath)
	}
}

// sessionID takes the id out of /v1/sessions/{id}/end.
func sessionID(path string) (string, bool) {
	rest, isSession := strings.CutPrefix(path, "/v1/sessions/")
	id, isEnd := strings.CutSuffix(rest, "/end")
	return id, isSession && isEnd && id != "" && !strings.Contains(id, "/")
}

// end ends a session for whoever shows its token. One that is over already is ended.
func (h *handler) end(w http.ResponseWriter, r *http.Request, id string) {
	arrival := time.Now()
	var token string
	if shown := r.Header["Authorization"]; len(shown) == 1 {
		token, _ = bearer.Token(shown[0])
	}
	if token != "" && h.service.EndSession(token, id) {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.deny(w, r, arrival, authn.NewCorrelationID(arrival))
}

func (h *handler) login(w http.ResponseWriter, r *http.Request) {
	body, err := loginbody.Read(w, r)
	if err != nil {
		httpreply.Invalid(w, loginbody.StatusOf(err), err)
		return
	}
	// From here on the request is whole: a slow sender does not shorten the time of its own denial.
	arrival := time.Now()
	attempt, err := body.Attempt(h.proofs, h.policy().Host)
	if err != nil {
		httpreply.Invalid(w, loginbody.StatusOf(err), err)
		return
	}
	if body.BindsDevice() && attempt.Fingerprint == nil && attempt.Proven == nil {
		h.readCertificate(r, attempt)
	}
	attempt.Listener = ListenerName
	attempt.ID = authn.NewCorrelationID(arrival)
	attempt.Arrival = arrival
	attempt.Source = h.source(r)
	result := h.service.Check(r.Context(), attempt)
	if result.Allowed() {
		httpreply.JSON(w, "application/json", http.StatusOK, loginbody.NewAdmitted(result, attempt.ID, result.Token))
		return
	}
	h.deny(w, r, arrival, attempt.ID)
}

// deny holds the uniform denial back until its time.
func (h *handler) deny(w http.ResponseWriter, r *http.Request, arrival time.Time, id string) {
	shape := h.service.Denial()
	if denial.HoldBack(r.Context(), arrival, shape.ResponseTime) {
		body, language := h.denials.Body(shape, id, r.Header.Get("Accept-Language"))
		httpreply.Denied(w, body, language)
	}
}

// source is the person's address.
func (h *handler) source(r *http.Request) netip.Addr {
	return clientaddr.Of(clientaddr.Peer(r.RemoteAddr), r.Header.Values("X-Forwarded-For"), h.policy().TrustedProxies)
}

// policy is the relay's. Without one no proxy is trusted, and no proof is for it.
func (h *handler) policy() *authn.Policy {
	if policy := h.service.Policy(); policy != nil {
		return policy
	}
	return &authn.Policy{}
}

// Package forwardauth is the HTTP listener at which gateways ask whether a request may pass, /v1/auth: nginx's
// auth_request, Caddy's forward_auth, Traefik's ForwardAuth and whatever does likewise. People log in and out of
// what is behind the gateway at POST /v1/auth/login and POST /v1/auth/logout; a page that proves a key of its own
// gets what it has to sign at POST /v1/auth/challenges.
//
// It extracts a SessionAttempt or an Attempt from a request and renders the result, and holds denials back until
// their time; it has no policy of its own. It must not believe what a request says of addresses and certificates
// unless a trusted proxy sent it. openapi.yaml and docs/forward-auth.md describe it.
package forwardauth

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/denial"
	"github.com/tegata-dev/tegata/internal/httpreply"
	"github.com/tegata-dev/tegata/internal/loginbody"
	"github.com/tegata-dev/tegata/internal/proof"
)

// ListenerName labels this listener's metrics and logs.
const ListenerName = "forwardauth"

//go:embed openapi.yaml
var openAPI []byte

// Service answers sessions and logins; *authn.Service does.
type Service interface {
	CheckSession(ctx context.Context, a authn.SessionAttempt) authn.SessionResult
	Check(ctx context.Context, a *authn.Attempt) authn.Result
	EndSession(token, id string) bool
	Denial() authn.Denial
	Policy() *authn.Policy
}

// Options shape the listener.
type Options struct {
	// CertificateHeader is the header in which a trusted proxy tells the device's certificate. Empty, none is
	// believed: the public key of a device is no secret, so a gateway that lets the header pass from clients
	// would let anybody have any device.
	CertificateHeader string
	// MaxWaiting bounds what takes its time: logins, and denials that are held back. It is to be less than the
	// connections that there may be, so that a flood of either leaves room for sessions.
	MaxWaiting int
	Metrics    *Metrics
}

// NewHandler serves the listener's paths. The challenges that it makes are good at this handler alone.
func NewHandler(s Service, o Options) http.Handler {
	return &handler{
		service: s, proofs: proof.NewVerifier(nil), metrics: o.Metrics, waiting: make(chan struct{}, max(1, o.MaxWaiting)),
		certificateHeader: http.CanonicalHeaderKey(o.CertificateHeader),
	}
}

type handler struct {
	service           Service
	proofs            *proof.Verifier
	metrics           *Metrics
	denials           denial.Renderer
	origins           http.CrossOriginProtection
	waiting           chan struct{}
	certificateHeader string
}

var errPath = errors.New("there is nothing at this path; gateways ask at /v1/auth")

// ServeHTTP takes paths as they are, as the login listener does. Gateways ask with any method: some with that of
// the request that they ask about.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/auth":
		h.check(w, r)
	case "/v1/auth/login":
		if httpreply.MethodIs(w, r, http.MethodPost) && h.fromOwnPage(w, r) {
			h.logIn(w, r)
		}
	case "/v1/auth/challenges":
		if httpreply.MethodIs(w, r, http.MethodPost) && h.fromOwnPage(w, r) {
			httpreply.JSON(w, "application/json", http.StatusOK, loginbody.NewChallenge(h.proofs, h.host()))
		}
	case "/v1/auth/logout":
		if httpreply.MethodIs(w, r, http.MethodPost) && h.fromOwnPage(w, r) {
			h.logOut(w, r)
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

// host is the relay's, which a proof names; empty without a policy, when nobody is admitted anyway.
func (h *handler) host() string {
	if policy := h.service.Policy(); policy != nil {
		return policy.Host
	}
	return ""
}

// enter takes a place for what takes its time, or answers that there is none.
func (h *handler) enter(w http.ResponseWriter) bool {
	select {
	case h.waiting <- struct{}{}:
		return true
	default:
		h.metrics.failed(causeBusy)
		httpreply.Busy(w)
		return false
	}
}

func (h *handler) leave() { <-h.waiting }

// deny holds the uniform denial back until its time. The caller has a place to wait.
func (h *handler) deny(w http.ResponseWriter, r *http.Request, arrival time.Time, id string) {
	if denial.HoldBack(r.Context(), arrival, h.service.Denial().ResponseTime) {
		h.writeDenied(w, r, id)
	}
}

// denialHeader has the body of a denial once more, for gateways that drop the body.
const denialHeader = "X-Tegata-Denial"

func (h *handler) writeDenied(w http.ResponseWriter, r *http.Request, id string) {
	body, language := h.denials.Body(h.service.Denial(), id, r.Header.Get("Accept-Language"))
	if r.URL.Path == "/v1/auth" {
		w.Header().Set(denialHeader, inHeader(body))
	}
	httpreply.Denied(w, body, language)
}

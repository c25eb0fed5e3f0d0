// Package login is the HTTP listener at which a relay asks for one login: POST /v1/login.
//
// It extracts an Attempt from a request and renders a Result, and holds denials back until their time;
// it has no policy of its own. openapi.yaml describes it.
package login

import (
	"context"
	_ "embed"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
)

// ListenerName labels this listener's metrics and logs.
const ListenerName = "login"

//go:embed openapi.yaml
var openAPI []byte

// Service answers logins; *authn.Service does.
type Service interface {
	Check(ctx context.Context, a *authn.Attempt) authn.Result
	Denial() authn.Denial
	Policy() *authn.Policy
}

// NewHandler serves the listener's paths.
func NewHandler(s Service) http.Handler { return &handler{service: s} }

type handler struct {
	service Service
	// words are those of the denials at present; they change with the relay's policy.
	words atomic.Pointer[phrasebook]
}

// ServeHTTP takes paths as they are: http.ServeMux would answer some spellings with a redirect, which
// asks for the password to be sent once more.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/login":
		if methodIs(w, r, http.MethodPost) {
			h.login(w, r)
		}
	case "/openapi.yaml":
		if methodIs(w, r, http.MethodGet, http.MethodHead) {
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = w.Write(openAPI)
		}
	default:
		writeInvalid(w, errPath)
	}
}

func methodIs(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	if slices.Contains(allowed, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeInvalid(w, errMethod)
	return false
}

// response is the body of a 200; openapi.yaml describes it.
type response struct {
	Slot           string         `json:"slot,omitempty"`
	Enrolled       bool           `json:"enrolled"`
	PasswordSaving passwordSaving `json:"passwordSaving"`
	ExpireTime     time.Time      `json:"expireTime"`
	CorrelationID  string         `json:"correlationID"`
}

type passwordSaving struct {
	Login   bool `json:"login"`
	Windows bool `json:"windows"`
}

func (h *handler) login(w http.ResponseWriter, r *http.Request) {
	body, err := readRequest(w, r)
	if err != nil {
		writeInvalid(w, err)
		return
	}
	// From here on the request is whole: a slow sender does not shorten the time of its own denial.
	arrival := time.Now()
	attempt, err := body.attempt()
	if err != nil {
		writeInvalid(w, err)
		return
	}
	attempt.Listener = ListenerName
	attempt.ID = authn.NewCorrelationID()
	attempt.Arrival = arrival
	attempt.Source = h.source(r)
	result := h.service.Check(r.Context(), attempt)
	if result.Allowed() {
		writeAllowed(w, result, attempt.ID)
		return
	}
	denial := h.service.Denial()
	if holdBack(r.Context(), arrival, denial.ResponseTime) {
		writeDenied(w, denial.Code, attempt.ID, h.phrases(denial).choose(r.Header.Get("Accept-Language")))
	}
}

// phrases are the words of a denial, made anew only when the relay's policy has changed them.
func (h *handler) phrases(d authn.Denial) *phrasebook {
	words := h.words.Load()
	if words == nil || !words.sayFor(d) {
		words = newPhrasebook(d)
		h.words.Store(words)
	}
	return words
}

func writeAllowed(w http.ResponseWriter, result authn.Result, id string) {
	writeJSON(w, "application/json", http.StatusOK, response{
		Slot:     result.Slot.String(),
		Enrolled: result.Enrolled,
		PasswordSaving: passwordSaving{
			Login: result.PasswordSaving.Login, Windows: result.PasswordSaving.Windows,
		},
		ExpireTime:    result.ExpireTime.UTC().Truncate(time.Second),
		CorrelationID: id,
	})
}

// holdBack waits until a denial may be sent: one response time after arrival, or, when the decision took
// longer, the next whole multiple of it, so that the time tells nothing of what was done. It reports
// whether the peer is still there.
func holdBack(ctx context.Context, arrival time.Time, responseTime time.Duration) bool {
	if responseTime <= 0 {
		responseTime = authn.DefaultDenial.ResponseTime
	}
	elapsed := time.Since(arrival)
	wait := responseTime - elapsed%responseTime
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Package login is the HTTP listener at which a relay asks for one login: POST /v1/login.
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
func NewHandler(s Service) http.Handler {
	h := &handler{service: s}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/login", h.login)
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openAPI)
	})
	return mux
}

type handler struct{ service Service }

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
	body, err := readRequest(r)
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
		writeDenied(w, r, denial, attempt.ID)
	}
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

func writeInvalid(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, errMediaType):
		status = http.StatusUnsupportedMediaType
	case errors.Is(err, errTooLarge):
		status = http.StatusRequestEntityTooLarge
	}
	writeProblem(w, problem{Type: typeInvalid, Title: "Invalid request", Status: status, Detail: err.Error()})
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

// source is the person's address: the connection's, or, when that is a trusted proxy's, the last one in
// X-Forwarded-For that is none. An address that cannot be read ends the search at what is known.
func (h *handler) source(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := peer.Addr().Unmap().WithZone("")
	policy := h.service.Policy()
	if policy == nil {
		return address
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && trusted(policy.TrustedProxies, address); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = hop.Unmap().WithZone("")
	}
	return address
}

func trusted(proxies []netip.Prefix, address netip.Addr) bool {
	for _, p := range proxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

package login

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/tegata-dev/tegata/internal/denial"
)

// problem is an error reply by RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

const (
	typeInvalid = "https://tegata.dev/problems/invalid-request"
	typeBusy    = "https://tegata.dev/problems/too-many-requests"
)

// Errors of a request that have a status of their own; all others are 400.
var (
	errPath      = errors.New("there is nothing at this path; logins go to /v1/login")
	errMethod    = errors.New("the path does not know this method")
	errMediaType = errors.New("the Content-Type must be application/json, in UTF-8 and without a Content-Encoding")
	errTooLarge  = fmt.Errorf("the body is larger than %d bytes", maxBodyBytes)
)

func statusOf(err error) int {
	switch {
	case errors.Is(err, errPath):
		return http.StatusNotFound
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed
	case errors.Is(err, errMediaType):
		return http.StatusUnsupportedMediaType
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// writeInvalid answers a request that is no login. Nothing was looked up for it.
func writeInvalid(w http.ResponseWriter, err error) {
	writeProblem(w, problem{Type: typeInvalid, Title: "Invalid request", Status: statusOf(err), Detail: err.Error()})
}

// writeBusy answers a request for which there is no room. Nothing was looked up for it.
func writeBusy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	writeProblem(w, problem{Type: typeBusy, Title: "Too many requests under way", Status: http.StatusServiceUnavailable})
}

// writeDenied writes the uniform denial.
func writeDenied(w http.ResponseWriter, body []byte, language string) {
	w.Header().Set("WWW-Authenticate", denial.Challenge)
	w.Header().Set("Content-Language", language)
	writeBody(w, denial.ContentType, http.StatusUnauthorized, body)
}

func writeProblem(w http.ResponseWriter, p problem) {
	writeJSON(w, "application/problem+json", p.Status, p)
}

func writeJSON(w http.ResponseWriter, contentType string, status int, body any) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // it is no HTML, and people read it
	if err := encoder.Encode(body); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	writeBody(w, contentType, status, encoded.Bytes())
}

func writeBody(w http.ResponseWriter, contentType string, status int, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the peer is gone when this fails
}

// Package httpreply writes the replies that all HTTP listeners give alike: problems (RFC 9457) and the uniform
// denial.
//
// It must not quote what was asked, and must not learn why something was refused.
package httpreply

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tegata-dev/tegata/internal/denial"
)

// Problem is an error reply by RFC 9457.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// The types of problems.
const (
	TypeInvalid = "https://tegata.dev/problems/invalid-request"
	TypeBusy    = "https://tegata.dev/problems/too-many-requests"
)

// Invalid answers a request that is not of the documented form. Nothing was looked up for it. The error's text
// is told, so it must not quote a value.
func Invalid(w http.ResponseWriter, status int, err error) {
	writeProblem(w, Problem{Type: TypeInvalid, Title: "Invalid request", Status: status, Detail: err.Error()})
}

var errMethod = errors.New("the path does not know this method")

// MethodIs says whether a request has one of the methods of its path, and otherwise answers that it has not.
func MethodIs(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	if slices.Contains(allowed, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	Invalid(w, http.StatusMethodNotAllowed, errMethod)
	return false
}

// Busy answers a request for which there is no room. Nothing was looked up for it.
func Busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	writeProblem(w, Problem{Type: TypeBusy, Title: "Too many requests under way", Status: http.StatusServiceUnavailable})
}

// Denied writes the uniform denial, as a denial.Renderer has made it.
func Denied(w http.ResponseWriter, body []byte, language string) {
	w.Header().Set("WWW-Authenticate", denial.Challenge)
	w.Header().Set("Content-Language", language)
	write(w, denial.ContentType, http.StatusUnauthorized, body)
}

func writeProblem(w http.ResponseWriter, p Problem) {
	JSON(w, "application/problem+json", p.Status, p)
}

// JSON writes a body that no cache may keep.
func JSON(w http.ResponseWriter, contentType string, status int, body any) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // it is no HTML, and people read it
	if err := encoder.Encode(body); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	write(w, contentType, status, encoded.Bytes())
}

func write(w http.ResponseWriter, contentType string, status int, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the peer is gone when this fails
}

// Package loginbody reads a login out of the JSON body of an HTTP request.
//
// It owns the body's strict form and bounds, the same at every HTTP listener that takes one. It judges nothing:
// what is well formed becomes an Attempt.
package loginbody

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/json"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/proof"
)

// Bounds of a request, in bytes. Each openapi.yaml states them.
const (
	MaxUserBytes         = 512
	MaxPasswordBytes     = 256
	MaxDestinationBytes  = 253
	MaxSourceViewerBytes = 253

	maxBodyBytes = 8 << 10
)

// Request is a login as it was sent; the listeners' openapi.yaml describe it.
type Request struct {
	User         text `json:"user"`
	Password     text `json:"password"`
	Program      text `json:"program"`
	Viewer       text `json:"viewer"`
	Fingerprint  text `json:"fingerprint"`
	Proof        text `json:"proof"`
	MACAddress   text `json:"macAddress"`
	Destination  text `json:"destination"`
	SourceViewer text `json:"sourceViewer"`
}

// text is a JSON string and nothing else: no null, and no half of a surrogate pair, which decodes to
// U+FFFD and so would make equal passwords of different ones.
type text string

// UnmarshalJSON refuses what is no text; its errors do not reach the peer.
func (t *text) UnmarshalJSON(encoded []byte) error {
	if len(encoded) == 0 || encoded[0] != '"' {
		return errors.New("not a string")
	}
	var s string
	if err := json.UnmarshalCaseSensitivePreserveInts(encoded, &s); err != nil {
		return err
	}
	if strings.ContainsRune(s, utf8.RuneError) {
		return errors.New("not a character")
	}
	*t = text(s)
	return nil
}

// Errors that have a status of their own; all others are 400.
var (
	errMediaType = errors.New("the Content-Type must be application/json, in UTF-8 and without a Content-Encoding")
	errTooLarge  = fmt.Errorf("the body is larger than %d bytes", maxBodyBytes)
)

// StatusOf is the HTTP status that an error of this package is answered with.
func StatusOf(err error) int {
	switch {
	case errors.Is(err, errMediaType):
		return http.StatusUnsupportedMediaType
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// Read reads a body strictly: JSON in UTF-8, no unknown, repeated or differently spelled fields,
// nothing after it. Errors do not quote values.
func Read(w http.ResponseWriter, r *http.Request) (*Request, error) {
	if err := CheckType(r.Header); err != nil {
		return nil, err
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not UTF-8")
	}
	var parsed Request
	strict, err := json.UnmarshalStrict(body, &parsed)
	if err != nil {
		return nil, errors.New("the body is not a JSON object of the documented form")
	}
	if len(strict) > 0 {
		return nil, errors.New("the body has an unknown or repeated field")
	}
	return &parsed, nil
}

// CheckType refuses what is not said to be JSON in UTF-8. Forms of web pages cannot say so.
func CheckType(h http.Header) error {
	media, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := parameters["charset"]
	if err == nil && media == "application/json" && h.Get("Content-Encoding") == "" && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	return errMediaType
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBodyBytes {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, errors.New("the body could not be read")
	}
	return body, nil
}

// Attempt checks the fields and turns them into an Attempt, without listener, source, id and time. A device's
// proof has to hold before that verifier, for the relay of that host. Errors do not quote values.
func (r *Request) Attempt(proofs *proof.Verifier, host string) (*authn.Attempt, error) {
	a := &authn.Attempt{UserName: string(r.User), Password: []byte(r.Password), Destination: string(r.Destination), SourceViewer: string(r.SourceViewer)}
	if err := r.checkLengths(); err != nil {
		return nil, err
	}
	if err := r.parseProgram(a); err != nil {
		return nil, err
	}
	if err := r.parseDevice(a); err != nil {
		return nil, err
	}
	if err := r.parseProof(a, proofs, host); err != nil {
		return nil, err
	}
	return a, nil
}

func (r *Request) checkLengths() error {
	for _, field := range []struct {
		name  string
		value text
		min   int
		max   int
	}{
		{"user", r.User, 1, MaxUserBytes},
		{"password", r.Password, 1, MaxPasswordBytes},
		{"destination", r.Destination, 0, MaxDestinationBytes},
		{"sourceViewer", r.SourceViewer, 0, MaxSourceViewerBytes},
	} {
		if n := len(field.value); n < field.min || n > field.max {
			return fmt.Errorf("%s must have %d to %d bytes", field.name, field.min, field.max)
		}
	}
	if strings.ContainsFunc(string(r.Destination), unicode.IsControl) {
		return errors.New("destination must not hold control characters")
	}
	if strings.ContainsFunc(string(r.SourceViewer), unicode.IsControl) {
		return errors.New("sourceViewer must not hold control characters")
	}
	return nil
}

var viewers = map[text]decision.Viewer{
	"pc": decision.ViewerPC, "mobile": decision.ViewerMobile, "unbound": decision.ViewerUnbound,
}

func (r *Request) parseProgram(a *authn.Attempt) error {
	switch r.Program {
	case "viewer":
		a.Program = decision.ProgramViewer
		viewer, ok := viewers[r.Viewer]
		if !ok {
			return errors.New("viewer must be pc, mobile or unbound")
		}
		a.Viewer = viewer
		if r.SourceViewer != "" {
			return errors.New("sourceViewer goes with program client only")
		}
	case "client":
		a.Program = decision.ProgramClient
		if r.Viewer != "" {
			return errors.New("viewer goes with program viewer only")
		}
	default:
		return errors.New("program must be viewer or client")
	}
	return nil
}

// parseDevice accepts a pc or mobile viewer without a fingerprint: it is denied like anybody else, and
// the administrator is told that the viewer does not authenticate its device.
func (r *Request) parseDevice(a *authn.Attempt) error {
	if r.Fingerprint != "" {
		f, err := fingerprint.ParseOpaque(string(r.Fingerprint))
		if err != nil {
			return fmt.Errorf("fingerprint: %w", err)
		}
		a.Fingerprint = &f
	}
	if r.MACAddress != "" {
		mac, err := decision.ParseMAC(string(r.MACAddress))
		if err != nil {
			return fmt.Errorf("macAddress: %w", err)
		}
		a.MAC = mac
	}
	return nil
}

package login

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

// Bounds of a request, in bytes. openapi.yaml states them.
const (
	maxBodyBytes        = 8 << 10
	maxUserBytes        = 512
	maxPasswordBytes    = 256
	maxDestinationBytes = 253
)

// request is the body of POST /v1/login; openapi.yaml describes it.
type request struct {
	User        text `json:"user"`
	Password    text `json:"password"`
	Program     text `json:"program"`
	Viewer      text `json:"viewer"`
	Fingerprint text `json:"fingerprint"`
	Proof       text `json:"proof"`
	MACAddress  text `json:"macAddress"`
	Destination text `json:"destination"`
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

// readRequest reads a body strictly: JSON in UTF-8, no unknown, repeated or differently spelled fields,
// nothing after it. Errors do not quote values.
func readRequest(w http.ResponseWriter, r *http.Request) (*request, error) {
	if !isJSON(r.Header) {
		return nil, errMediaType
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not UTF-8")
	}
	var parsed request
	strict, err := json.UnmarshalStrict(body, &parsed)
	if err != nil {
		return nil, errors.New("the body is not a JSON object of the documented form")
	}
	if len(strict) > 0 {
		return nil, errors.New("the body has an unknown or repeated field")
	}
	return &parsed, nil
}

func isJSON(h http.Header) bool {
	media, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := parameters["charset"]
	return err == nil && media == "application/json" && h.Get("Content-Encoding") == "" &&
		(charset == "" || strings.EqualFold(charset, "utf-8"))
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

// attempt checks the fields and turns them into an Attempt, without source, id and time, and the device's
// proof, nil without one.
func (r *request) attempt() (*authn.Attempt, *proof.Proof, error) {
	a := &authn.Attempt{UserName: string(r.User), Password: []byte(r.Password), Destination: string(r.Destination)}
	if err := r.checkLengths(); err != nil {
		return nil, nil, err
	}
	if err := r.parseProgram(a); err != nil {
		return nil, nil, err
	}
	if err := r.parseDevice(a); err != nil {
		return nil, nil, err
	}
	shown, err := r.parseProof()
	if err != nil {
		return nil, nil, err
	}
	return a, shown, nil
}

func (r *request) checkLengths() error {
	for _, field := range []struct {
		name  string
		value text
		min   int
		max   int
	}{
		{"user", r.User, 1, maxUserBytes},
		{"password", r.Password, 1, maxPasswordBytes},
		{"destination", r.Destination, 0, maxDestinationBytes},
	} {
		if n := len(field.value); n < field.min || n > field.max {
			return fmt.Errorf("%s must have %d to %d bytes", field.name, field.min, field.max)
		}
	}
	if strings.ContainsFunc(string(r.Destination), unicode.IsControl) {
		return errors.New("destination must not hold control characters")
	}
	return nil
}

var viewers = map[text]decision.Viewer{
	"pc": decision.ViewerPC, "mobile": decision.ViewerMobile, "unbound": decision.ViewerUnbound,
}

func (r *request) parseProgram(a *authn.Attempt) error {
	switch r.Program {
	case "viewer":
		a.Program = decision.ProgramViewer
		viewer, ok := viewers[r.Viewer]
		if !ok {
			return errors.New("viewer must be pc, mobile or unbound")
		}
		a.Viewer = viewer
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
func (r *request) parseDevice(a *authn.Attempt) error {
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

// parseProof judges a proof's form. What is in it is judged where all denials look alike.
func (r *request) parseProof() (*proof.Proof, error) {
	switch {
	case r.Proof == "":
		return nil, nil
	case r.Fingerprint != "":
		return nil, errors.New("proof and fingerprint exclude each other")
	case !r.bindsDevice():
		return nil, errors.New("proof goes with viewer pc or mobile only")
	}
	shown, err := proof.Parse(string(r.Proof))
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	return shown, nil
}

// bindsDevice says whether the login is of a program that has a device to identify.
func (r *request) bindsDevice() bool { return r.Viewer == "pc" || r.Viewer == "mobile" }

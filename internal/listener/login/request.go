package login

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/json"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
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
	User        string `json:"user"`
	Password    string `json:"password"`
	Program     string `json:"program"`
	Viewer      string `json:"viewer"`
	Fingerprint string `json:"fingerprint"`
	MACAddress  string `json:"macAddress"`
	Destination string `json:"destination"`
}

// errTooLarge says that the body is over maxBodyBytes.
var errTooLarge = fmt.Errorf("the body is larger than %d bytes", maxBodyBytes)

// readRequest reads a body strictly: JSON in UTF-8, no unknown, repeated or differently spelled fields,
// nothing after it. Errors do not quote values.
func readRequest(r *http.Request) (*request, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, errMediaType
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes+1))
	if err != nil {
		return nil, errors.New("the body could not be read")
	}
	if len(body) > maxBodyBytes {
		return nil, errTooLarge
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

// attempt checks the fields and turns them into an Attempt, without source, id and time.
func (r *request) attempt() (*authn.Attempt, error) {
	a := &authn.Attempt{UserName: r.User, Password: []byte(r.Password), Destination: r.Destination}
	if err := r.checkLengths(); err != nil {
		return nil, err
	}
	if err := r.parseProgram(a); err != nil {
		return nil, err
	}
	return a, r.parseDevice(a)
}

func (r *request) checkLengths() error {
	for _, field := range []struct {
		name  string
		value string
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
	if strings.ContainsFunc(r.Destination, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return errors.New("destination must not hold control characters")
	}
	return nil
}

var viewers = map[string]decision.Viewer{
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
		f, err := fingerprint.ParseOpaque(r.Fingerprint)
		if err != nil {
			return fmt.Errorf("fingerprint: %w", err)
		}
		a.Fingerprint = &f
	}
	if r.MACAddress != "" {
		mac, err := decision.ParseMAC(r.MACAddress)
		if err != nil {
			return fmt.Errorf("macAddress: %w", err)
		}
		a.MAC = mac
	}
	return nil
}

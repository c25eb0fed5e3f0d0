package bearer

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
)

// The headers by which the program on the device at hand tells of itself when it logs in by Basic, in lower case.
const (
	DeviceHeader = "x-tegata-device"
	ViewerHeader = "x-tegata-viewer"
)

// Bounds of a login, in bytes, as of one that a relay asks about.
const (
	maxUserBytes     = 512
	maxPasswordBytes = 256
)

// Login is a login as a request shows it.
type Login struct {
	User, Password string
	// Device is the value of DeviceHeader, empty when there is none.
	Device string
	// Viewer is the value of ViewerHeader, empty when there is none.
	Viewer string
	// Certificate is the device's own, nil when it showed none. It counts, and not what Device says.
	Certificate *fingerprint.Fingerprint
}

var viewers = map[string]decision.Viewer{
	"pc": decision.ViewerPC, "mobile": decision.ViewerMobile, "unbound": decision.ViewerUnbound,
}

// Attempt is the login of a viewer, without listener, source, id and time. Its errors quote no value.
func (l Login) Attempt() (*authn.Attempt, error) {
	for _, field := range []struct {
		name, value string
		most        int
	}{{"user", l.User, maxUserBytes}, {"password", l.Password, maxPasswordBytes}} {
		if n := len(field.value); n < 1 || n > field.most || !utf8.ValidString(field.value) {
			return nil, fmt.Errorf("authorization: the %s must have 1 to %d bytes of UTF-8", field.name, field.most)
		}
	}
	a := &authn.Attempt{UserName: l.User, Password: []byte(l.Password), Program: decision.ProgramViewer, Fingerprint: l.Certificate}
	if a.Fingerprint == nil && l.Device != "" {
		f, err := fingerprint.ParseOpaque(l.Device)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", DeviceHeader, err)
		}
		a.Fingerprint = &f
	}
	viewer, err := l.viewer(a.Fingerprint != nil)
	if err != nil {
		return nil, err
	}
	a.Viewer = viewer
	return a, nil
}

// viewer takes a program that says nothing of itself for a PC's if its device is known, and else for one that
// does not identify devices.
func (l Login) viewer(deviceKnown bool) (decision.Viewer, error) {
	if l.Viewer == "" {
		if deviceKnown {
			return decision.ViewerPC, nil
		}
		return decision.ViewerUnbound, nil
	}
	viewer, ok := viewers[l.Viewer]
	if !ok {
		return viewer, errors.New(ViewerHeader + " must be pc, mobile or unbound")
	}
	return viewer, nil
}

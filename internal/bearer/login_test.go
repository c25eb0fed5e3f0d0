package bearer

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
)

func TestLogin(t *testing.T) {
	certificate := fingerprint.FromPublicKey(sha256.Sum256([]byte("a key")))
	for name, tc := range map[string]struct {
		login      Login
		wantViewer decision.Viewer
		wantKind   fingerprint.Kind // empty for none
		wantErr    string
	}{
		"a phone":                   {Login{"taro", "pw", "a-device", "mobile", nil}, decision.ViewerMobile, fingerprint.Opaque, ""},
		"a PC by its certificate":   {Login{"taro", "pw", "", "pc", &certificate}, decision.ViewerPC, fingerprint.Certificate, ""},
		"both":                      {Login{"taro", "pw", "a-device", "pc", &certificate}, decision.ViewerPC, fingerprint.Certificate, ""},
		"both, one malformed":       {Login{"taro", "pw", "short", "pc", &certificate}, decision.ViewerPC, fingerprint.Certificate, ""},
		"no viewer, a device":       {Login{"taro", "pw", "a-device", "", nil}, decision.ViewerPC, fingerprint.Opaque, ""},
		"no viewer, a certificate":  {Login{"taro", "pw", "", "", &certificate}, decision.ViewerPC, fingerprint.Certificate, ""},
		"no viewer, no device":      {Login{"taro", "pw", "", "", nil}, decision.ViewerUnbound, "", ""},
		"a viewer without a device": {Login{"taro", "pw", "", "pc", nil}, decision.ViewerPC, "", ""},
		"unbound":                   {Login{"taro", "pw", "", "unbound", nil}, decision.ViewerUnbound, "", ""},
		"the longest":               {Login{strings.Repeat("u", 512), strings.Repeat("p", 256), "", "", nil}, decision.ViewerUnbound, "", ""},
		"no user":                   {Login{"", "n0body", "", "", nil}, 0, "", "authorization: the user must have 1 to 512 bytes of UTF-8"},
		"no password":               {Login{"n0body", "", "", "", nil}, 0, "", "authorization: the password must have 1 to 256 bytes of UTF-8"},
		"user too long":             {Login{strings.Repeat("u", 513), "pw", "", "", nil}, 0, "", "authorization: the user must have 1 to 512 bytes of UTF-8"},
		"password no text":          {Login{"taro", "\xff", "", "", nil}, 0, "", "authorization: the password must have 1 to 256 bytes of UTF-8"},
		"device too short":          {Login{"taro", "pw", "n0body", "", nil}, 0, "", "x-tegata-device: malformed fingerprint: must have 8 to 1024 bytes"},
		"another viewer":            {Login{"taro", "pw", "", "n0body", nil}, 0, "", "x-tegata-viewer must be pc, mobile or unbound"},
		"viewer in capitals":        {Login{"taro", "pw", "", "PC", nil}, 0, "", "x-tegata-viewer must be pc, mobile or unbound"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.login.Attempt()
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Errorf("error %v, want %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			kind := fingerprint.Kind("")
			if got.Fingerprint != nil {
				kind = got.Fingerprint.Kind()
			}
			if got.UserName != tc.login.User || string(got.Password) != tc.login.Password || got.Program != decision.ProgramViewer ||
				got.Viewer != tc.wantViewer || kind != tc.wantKind {
				t.Errorf("got %+v with a fingerprint of kind %q", got, kind)
			}
		})
	}
}

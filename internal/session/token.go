package session

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/password"
)

const (
	// maxTokenBytes bounds what is looked at. A token has about 500 bytes.
	maxTokenBytes = 2048
	// tokenType keeps a token from being taken for another kind of JWT (RFC 8725, section 3.11).
	tokenType = "tegata-session+jwt"
	// maxSkew is how far the clocks of two sidecars may differ.
	maxSkew = time.Minute
)

// claims are the token's, a JWT (RFC 7519) with HMAC-SHA256.
type claims struct {
	jwt.RegisteredClaims
	Program    string `json:"prg"`
	Viewer     string `json:"vwr,omitempty"`
	MAC        string `json:"mac,omitempty"`
	Digest     string `json:"dgs,omitempty"`
	Kind       uint8  `json:"knd,omitempty"`
	BindingID  string `json:"bnd,omitempty"`
	Credential string `json:"crd"`
}

var (
	programs = map[string]decision.Program{
		decision.ProgramViewer.String(): decision.ProgramViewer, decision.ProgramClient.String(): decision.ProgramClient,
	}
	viewers = map[string]decision.Viewer{"": decision.ViewerUnknown, "pc": decision.ViewerPC, "mobile": decision.ViewerMobile, "unbound": decision.ViewerUnbound}
)

func viewerName(v decision.Viewer) string {
	for name, viewer := range viewers {
		if viewer == v {
			return name
		}
	}
	return ""
}

// sign makes a session's token.
func (k *Keys) sign(issuer string, s *Session) (string, error) {
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Subject: s.UID, ID: s.ID,
			IssuedAt: jwt.NewNumericDate(s.Begin), ExpiresAt: jwt.NewNumericDate(s.Expire),
		},
		Program: s.Program.String(), Viewer: viewerName(s.Viewer), MAC: s.MAC.String(), BindingID: s.BindingID,
		Kind: uint8(s.Device.Kind), Credential: base64.RawURLEncoding.EncodeToString(s.Credential[:]),
	}
	if len(s.Device.Digests) > 0 {
		c.Digest = string(s.Device.Digests[0])
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	token.Header["typ"] = tokenType
	token.Header["kid"] = k.current
	signed, err := token.SignedString([]byte(*k.byID[k.current]))
	if err != nil {
		return "", fmt.Errorf("sign session: %w", err)
	}
	return signed, nil
}

// verify reads a token that one of the keys has signed for the issuer. It does not look at the time but to
// refuse what was issued in the future. Its errors are all ErrInvalid: they could quote the token.
func (k *Keys) verify(issuer, token string, now time.Time) (*Session, error) {
	var c claims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	parsed, err := parser.ParseWithClaims(token, &c, k.keyOf)
	if err != nil || !parsed.Valid || c.Issuer != issuer || c.ExpiresAt == nil {
		return nil, ErrInvalid
	}
	s, err := c.session()
	if err != nil || s.Begin.After(now.Add(maxSkew)) {
		return nil, ErrInvalid
	}
	return s, nil
}

func (k *Keys) keyOf(t *jwt.Token) (any, error) {
	id, _ := t.Header["kid"].(string)
	secret := k.byID[id]
	if secret == nil || t.Header["typ"] != tokenType {
		return nil, ErrInvalid
	}
	return []byte(*secret), nil
}

var errClaims = errors.New("claims of no session")

// session reads claims. Who can sign wrote them, so what does not fit was signed for something else.
func (c *claims) session() (*Session, error) {
	program, isProgram := programs[c.Program]
	viewer, isViewer := viewers[c.Viewer]
	begin := beginOf(c.ID)
	if !isProgram || !isViewer || begin.IsZero() || c.Subject == "" {
		return nil, errClaims
	}
	s := &Session{
		ID: c.ID, UID: c.Subject, Program: program, Viewer: viewer, BindingID: c.BindingID,
		Begin: begin, Expire: c.ExpiresAt.Time,
	}
	if c.MAC != "" {
		mac, err := decision.ParseMAC(c.MAC)
		if err != nil {
			return nil, errClaims
		}
		s.MAC = mac
	}
	if c.Digest != "" {
		s.Device = decision.Device{Digests: []decision.Digest{decision.Digest(c.Digest)}, Kind: decision.Kind(c.Kind)}
	}
	credential, err := base64.RawURLEncoding.DecodeString(c.Credential)
	if err != nil || len(credential) != len(s.Credential) {
		return nil, errClaims
	}
	s.Credential = password.Mark(credential)
	return s, nil
}

package loginbody

import (
	"errors"
	"fmt"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/proof"
)

// Challenge is the answer to whoever asks for something to be signed; each openapi.yaml describes it.
type Challenge struct {
	Nonce      string    `json:"nonce"`
	ExpireTime time.Time `json:"expireTime"`
}

// NewChallenge makes a challenge for the relay of that host.
func NewChallenge(proofs *proof.Verifier, host string) Challenge {
	nonce, expire := proofs.Challenge(host)
	return Challenge{Nonce: nonce, ExpireTime: expire.UTC().Truncate(time.Second)}
}

// BindsDevice says whether the login is of a program that has a device to identify.
func (r *Request) BindsDevice() bool { return r.Viewer == "pc" || r.Viewer == "mobile" }

// parseProof refuses a proof for its form only. One that does not hold is left to be denied like anything else.
func (r *Request) parseProof(a *authn.Attempt, proofs *proof.Verifier, host string) error {
	switch {
	case r.Proof == "":
		return nil
	case r.Fingerprint != "":
		return errors.New("proof and fingerprint exclude each other")
	case !r.BindsDevice():
		return errors.New("proof goes with viewer pc or mobile only")
	}
	shown, err := proof.Parse(string(r.Proof))
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	login := proof.Login{Audience: host, User: a.UserName, Viewer: string(r.Viewer)}
	device, why := proofs.Verify(shown, login)
	a.Proven = func() error { return why }
	if why == nil {
		a.Fingerprint = &device
		a.Proven = func() error { return proofs.Redeem(shown, login) }
	}
	return nil
}

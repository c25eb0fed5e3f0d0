package proof

import (
	"errors"
	"runtime"
	"time"

	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/loginname"
)

// Why a proof of the right form does not hold. They go to the log, never to the peer.
var (
	ErrChallenge = errors.New("the nonce is none of this sidecar's for this relay")
	ErrExpired   = errors.New("the challenge has expired")
	ErrUsed      = errors.New("the challenge was used before")
	ErrFull      = errors.New("too many challenges were used within their lifetime")
	ErrAudience  = errors.New("the proof is for another relay")
	ErrUser      = errors.New("the proof is for another user")
	ErrViewer    = errors.New("the proof is for another viewer")
	ErrSignature = errors.New("the signature is not that of the key")
)

// Login is what a proof has to be for.
type Login struct {
	// Audience is the relay's host. The device takes it from what it connects to, not from the challenge: so
	// a host in between cannot pass challenges of the true relay on.
	Audience string
	// User is the login name as typed. Its spellings count as one.
	User string
	// Viewer is pc or mobile.
	Viewer string
}

// Verifier makes challenges and checks proofs against them. One process has one: what another has made, or
// this one before it was restarted, it refuses.
type Verifier struct {
	challenges *challenges
	// slots bound how many signatures are checked at a time: an RSA key may cost a quarter of a millisecond,
	// which a flood of proofs must not take from everything else.
	slots chan struct{}
}

// NewVerifier makes a Verifier by a clock; time.Now when nil.
func NewVerifier(now func() time.Time) *Verifier {
	if now == nil {
		now = time.Now
	}
	return &Verifier{challenges: newChallenges(now), slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))}
}

// Challenge makes a nonce for one proof to that audience, and says until when it is good. It is remembered
// nowhere: a flood of challenges takes no memory.
func (v *Verifier) Challenge(audience string) (nonce string, expire time.Time) {
	return v.challenges.make(audience)
}

// Verify says which device made the proof, if it did so for this login. The proof is not used up: see Redeem.
func (v *Verifier) Verify(p *Proof, l Login) (fingerprint.Fingerprint, error) {
	if _, err := v.challenges.open(p.claims.Nonce, l.Audience); err != nil {
		return fingerprint.Fingerprint{}, err
	}
	switch {
	case p.claims.Audience != l.Audience:
		return fingerprint.Fingerprint{}, ErrAudience
	case !sameUser(p.claims.User, l.User):
		return fingerprint.Fingerprint{}, ErrUser
	case p.claims.Viewer != l.Viewer:
		return fingerprint.Fingerprint{}, ErrViewer
	}
	if !v.signed(p) {
		return fingerprint.Fingerprint{}, ErrSignature
	}
	return fingerprintOf(p.key)
}

func (v *Verifier) signed(p *Proof) bool {
	v.slots <- struct{}{}
	defer func() { <-v.slots }()
	_, err := p.jws.Verify(p.key)
	return err == nil
}

// Redeem uses up the challenge of a proof that was verified. Of any number of calls, one succeeds.
func (v *Verifier) Redeem(p *Proof, l Login) error {
	return v.challenges.use(p.claims.Nonce, l.Audience)
}

func sameUser(signed, typed string) bool {
	if signed == typed {
		return true
	}
	a, errA := loginname.Normalize(signed)
	b, errB := loginname.Normalize(typed)
	return errA == nil && errB == nil && a == b
}

package login

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/clientaddr"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/proof"
)

// challengeReply is the body of a challenge; openapi.yaml describes it.
type challengeReply struct {
	Nonce      string    `json:"nonce"`
	ExpireTime time.Time `json:"expireTime"`
}

// challenge makes a nonce to be signed, for whoever asks. It costs about as much as this answer.
func (h *handler) challenge(w http.ResponseWriter) {
	nonce, expire := h.proofs.Challenge(h.host())
	writeJSON(w, "application/json", http.StatusOK, challengeReply{Nonce: nonce, ExpireTime: expire.UTC().Truncate(time.Second)})
}

// host is the relay's, which a proof names; empty without a policy, when nobody is admitted anyway.
func (h *handler) host() string {
	if policy := h.service.Policy(); policy != nil {
		return policy.Host
	}
	return ""
}

// identify finds by what the device is known: its proof, the fingerprint that it reports, or the
// certificate of the connection, whichever there is, in this order.
func (h *handler) identify(r *http.Request, a *authn.Attempt, body *request, shown *proof.Proof) {
	switch {
	case shown != nil:
		h.verifyProof(a, shown, proof.Login{Audience: h.host(), User: a.UserName, Viewer: string(body.Viewer)})
	case a.Fingerprint == nil && body.bindsDevice():
		h.readCertificate(r, a)
	}
}

// verifyProof leaves a proof that does not hold to be denied like anything else.
func (h *handler) verifyProof(a *authn.Attempt, shown *proof.Proof, l proof.Login) {
	device, err := h.proofs.Verify(shown, l)
	if err != nil {
		a.Proven = func() error { return err }
		return
	}
	a.Fingerprint = &device
	a.Proven = func() error { return h.proofs.Redeem(shown, l) }
}

var errCertificateTime = errors.New("the client certificate is not valid at this time")

// readCertificate takes the key of a client certificate, which has signed the handshake, for the device's.
// Who issued it is for the TLS configuration to ask. A trusted proxy's certificate is the proxy's own.
func (h *handler) readCertificate(r *http.Request, a *authn.Attempt) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return
	}
	if clientaddr.Trusted(h.trustedProxies(), clientaddr.Peer(r.RemoteAddr)) {
		return
	}
	// The connection may be older than the certificate's end.
	leaf, now := r.TLS.PeerCertificates[0], time.Now()
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		a.Proven = func() error { return errCertificateTime }
		return
	}
	device := fingerprint.FromPublicKey(sha256.Sum256(leaf.RawSubjectPublicKeyInfo))
	a.Fingerprint = &device
}

// Package denial renders the one answer that every refused login and every refused session gets, in the
// person's language, and holds it back until its time.
//
// It is the same for every listener that has a body to send, so that neither the cause nor the way in can be
// told from it. It must not learn why something was refused.
package denial

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
)

const (
	// ContentType is the body's, RFC 9457's.
	ContentType = "application/problem+json"
	// Challenge is the value of WWW-Authenticate: RFC 9110 wants one with every 401, and a scheme of our own
	// keeps browsers from asking.
	Challenge = "Tegata"

	problemType = "https://tegata.dev/problems/login-denied"
)

// problem is the body, by RFC 9457. Code and correlation id are extension members.
type problem struct {
	Type          string `json:"type"`
	Title         string `json:"title"`
	Status        int    `json:"status"`
	Detail        string `json:"detail"`
	Code          int    `json:"code"`
	CorrelationID string `json:"correlationID"`
}

// Renderer makes the bodies of denials. Its zero value is ready for use, by many at once.
type Renderer struct {
	// words are those of the denials at present; they change with the relay's policy.
	words atomic.Pointer[phrasebook]
}

// Body is the answer and the language (BCP 47) that it is in. All bodies in one language differ in the
// correlation id only, whose length is fixed.
func (r *Renderer) Body(d authn.Denial, correlationID, acceptLanguage string) (body []byte, language string) {
	p := r.phrases(d).choose(acceptLanguage)
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // it is no HTML, and people read it
	// A struct of strings and numbers can always be encoded.
	_ = encoder.Encode(problem{
		Type: problemType, Title: p.title, Status: http.StatusUnauthorized, Detail: p.detail,
		Code: d.Code, CorrelationID: correlationID,
	})
	return encoded.Bytes(), p.language
}

// Text is the answer for protocols that carry a line of text and no language of the person's: the words in
// English, or the relay's own for English, and the correlation id. All differ in that only, whose length is fixed.
func (r *Renderer) Text(d authn.Denial, correlationID string) string {
	return r.phrases(d).choose("").detail + " (Correlation ID: " + correlationID + ")"
}

// phrases are the words of a denial, made anew only when the relay's policy has changed them.
func (r *Renderer) phrases(d authn.Denial) *phrasebook {
	words := r.words.Load()
	if words == nil || !words.sayFor(d) {
		words = newPhrasebook(d)
		r.words.Store(words)
	}
	return words
}

// HoldBack waits until a denial may be sent: one response time after arrival, or, when the decision took
// longer, the next whole multiple of it, so that the time tells nothing of what was done. It reports
// whether the peer is still there.
func HoldBack(ctx context.Context, arrival time.Time, responseTime time.Duration) bool {
	if responseTime <= 0 {
		responseTime = authn.DefaultDenial.ResponseTime
	}
	elapsed := time.Since(arrival)
	wait := responseTime - elapsed%responseTime
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

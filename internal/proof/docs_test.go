package proof

import (
	"crypto"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedProof: the proof in docs/devices.md is one, signed by the key whose thumbprint is told, over the
// header and payload that are shown. And each cause that may be logged is explained.
func TestDocumentedProof(t *testing.T) {
	page, err := os.ReadFile("../../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	compact := regexp.MustCompile(`"(eyJ[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+)"`).FindStringSubmatch(text)
	if compact == nil {
		t.Fatal("it shows no proof")
	}
	p := mustParse(t, compact[1])
	if _, err := p.jws.Verify(p.key); err != nil {
		t.Errorf("the proof: %v", err)
	}
	for i, part := range strings.Split(compact[1], ".")[:2] {
		if shown := string(decode(t, part)); !strings.Contains(text, "```json\n"+shown+"\n```") {
			t.Errorf("part %d of the proof is not shown: %s", i+1, shown)
		}
	}
	thumbprint, err := p.key.Thumbprint(crypto.SHA256)
	if err != nil || !strings.Contains(text, "`"+encode(thumbprint)+"`") {
		t.Errorf("the thumbprint %s is not told: %v", encode(thumbprint), err)
	}
	for _, cause := range []error{ErrChallenge, ErrExpired, ErrUsed, ErrFull, ErrAudience, ErrSignature} {
		if !strings.Contains(text, "`"+cause.Error()+"`") {
			t.Errorf("it does not explain %q", cause)
		}
	}
}

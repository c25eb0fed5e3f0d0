package proof

import "testing"

// BenchmarkVerify is what a login by proof costs beside its password hash.
func BenchmarkVerify(b *testing.B) {
	for name, d := range map[string]device{
		"ES256": newES256(), "EdDSA": newEdDSA(), "PS256-2048": newRSA("PS256", 2048), "RS256-4096": newRSA("RS256", 4096),
	} {
		b.Run(name, func(b *testing.B) {
			v := NewVerifier(nil)
			nonce, _ := v.Challenge(host)
			compact := d.prove(payload(nonce))
			b.ReportAllocs()
			for b.Loop() {
				p, err := Parse(compact)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := v.Verify(p, phoneLogin); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkChallenge(b *testing.B) {
	v := NewVerifier(nil)
	b.ReportAllocs()
	for b.Loop() {
		v.Challenge(host)
	}
}

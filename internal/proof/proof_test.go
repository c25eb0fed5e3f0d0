package proof

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/fingerprint"
)

// TestParse spoils a proof in one place at a time. The signature is always that of what is sent: it is the
// form that is refused.
func TestParse(t *testing.T) {
	const secret = "n0b0dy-sh4ll-s33"
	ec, ed, p384 := newES256(), newEdDSA(), ecDevice(elliptic.P384(), "P-384", "ES384")
	good := payload("nonce")
	header := ec.header()
	jwkWith := func(name string, value any) object { return header.with("jwk", ec.jwk.with(name, value)) }
	rsa2048 := newRSA("PS256", 2048)
	for name, tc := range map[string]struct {
		compact string
		want    bool
	}{
		"ES256":                       {ec.prove(good), true},
		"EdDSA":                       {ed.prove(good), true},
		"PS256":                       {rsa2048.prove(good), true},
		"RS256":                       {newRSA("RS256", 2048).prove(good), true},
		"RSA of 4096 bits":            {newRSA("PS256", 4096).prove(good), true},
		"no iat":                      {ec.prove(good.with("iat", nil)), true},
		"a clock that is wrong":       {ec.prove(good.with("iat", 0)), true},
		"a key as WebCrypto tells it": {ec.compact(jwkWith("ext", true).with("jwk", ec.jwk.with("ext", true).with("key_ops", []string{"verify"})), good), true},
		"a key with an id":            {ec.compact(jwkWith("kid", "phone"), good), true},
		"a PC":                        {ec.prove(good.with("viewer", "pc")), true},

		"empty":                     {"", false},
		"not a JWS":                 {secret, false},
		"two parts":                 {strings.Join(strings.Split(ec.prove(good), ".")[:2], "."), false},
		"four parts":                {ec.prove(good) + "." + secret, false},
		"the JSON serialisation":    {`{"payload":"` + encodeJSON(good) + `"}`, false},
		"a line end":                {ec.prove(good) + "\n", false},
		"a line end inside":         {strings.Replace(ec.prove(good), ".", "\n.", 1), false},
		"padding":                   {strings.Replace(ec.prove(good), ".", "=.", 1), false},
		"longer than 4096 bytes":    {ec.prove(good.with("sub", strings.Repeat("u", 4096))), false},
		"a header that is null":     {ec.compact("null", good), false},
		"a header that is a list":   {ec.compact("[]", good), false},
		"two headers":               {ec.compact(`{}{}`, good), false},
		"no typ":                    {ec.compact(header.with("typ", nil), good), false},
		"typ JWT":                   {ec.compact(header.with("typ", "JWT"), good), false},
		"a session's typ":           {ec.compact(header.with("typ", "tegata-session+jwt"), good), false},
		"alg none":                  {ec.compact(header.with("alg", "none"), good), false},
		"alg none, no signature":    {encodeJSON(header.with("alg", "none")) + "." + encodeJSON(good) + ".", false},
		"alg HS256":                 {ec.compact(header.with("alg", "HS256"), good), false},
		"alg HS256, octet key":      {ec.compact(header.with("alg", "HS256").with("jwk", object{"kty": "oct", "k": encode([]byte(secret))}), good), false},
		"octet key":                 {ec.compact(header.with("jwk", object{"kty": "oct", "k": encode([]byte(secret))}), good), false},
		"alg ES384":                 {p384.prove(good), false},
		"ES256 with P-384":          {p384.compact(p384.header().with("alg", "ES256"), good), false},
		"EdDSA with P-256":          {ec.compact(header.with("alg", "EdDSA"), good), false},
		"ES256 with Ed25519":        {ed.compact(ed.header().with("alg", "ES256"), good), false},
		"ES256 with RSA":            {rsa2048.compact(rsa2048.header().with("alg", "ES256"), good), false},
		"RS256 with P-256":          {ec.compact(header.with("alg", "RS256"), good), false},
		"RS512":                     {ec.compact(header.with("alg", "RS512"), good), false},
		"RSA of 1024 bits":          {newRSA("PS256", 1024).prove(good), false},
		"RSA of 8192 bits":          {rsaWith("n", encode(bytes.Repeat([]byte{0xff}, 1024))).prove(good), false},
		"RSA with the exponent 3":   {rsaWith("e", "Aw").prove(good), false},
		"RSA with the exponent 1":   {rsaWith("e", "AQ").prove(good), false},
		"a great exponent":          {rsaWith("e", encode(bytes.Repeat([]byte{0xff}, 8))).prove(good), false},
		"no jwk":                    {ec.compact(header.with("jwk", nil), good), false},
		"jwk null":                  {ec.compact(`{"alg":"ES256","typ":"`+Type+`","jwk":null}`, good), false},
		"a point off the curve":     {ec.compact(jwkWith("y", ec.jwk["x"]), good), false},
		"half a point":              {ec.compact(jwkWith("y", nil), good), false},
		"a short coordinate":        {ec.compact(jwkWith("x", "AQAB"), good), false},
		"a short Ed25519 key":       {ed.compact(ed.header().with("jwk", ed.jwk.with("x", "AQAB")), good), false},
		"a private EC key":          {ec.compact(jwkWith("d", encode([]byte(secret))), good), false},
		"a private RSA key":         {rsaWith("d", encode([]byte(secret))).prove(good), false},
		"a prime of an RSA key":     {rsaWith("p", encode([]byte(secret))).prove(good), false},
		"a certificate in the key":  {ec.compact(jwkWith("x5c", []string{secret}), good), false},
		"a key to be fetched":       {ec.compact(header.with("jku", "https://example.com/"+secret), good), false},
		"a certificate to be read":  {ec.compact(header.with("x5c", []string{secret}), good), false},
		"crit":                      {ec.compact(header.with("crit", []string{"exp"}).with("exp", 1), good), false},
		"b64":                       {ec.compact(header.with("b64", false).with("crit", []string{"b64"}), good), false},
		"a nonce in the header":     {ec.compact(header.with("nonce", secret), good), false},
		"alg twice":                 {ec.compact(strings.Replace(marshal(header), "{", `{"alg":"none",`, 1), good), false},
		"jwk twice":                 {ec.compact(strings.Replace(marshal(header), "{", `{"jwk":`+marshal(ed.jwk)+`,`, 1), good), false},
		"x twice":                   {ec.compact(strings.Replace(marshal(header), `"jwk":{`, `"jwk":{"x":"AQAB",`, 1), good), false},
		"ALG":                       {ec.compact(strings.Replace(marshal(header), `"alg"`, `"ALG"`, 1), good), false},
		"a payload that is no JSON": {ec.compact(header, secret), false},
		"a payload that is null":    {ec.compact(header, "null"), false},
		"no payload":                {ec.compact(header, ""), false},
		"no nonce":                  {ec.prove(good.with("nonce", nil)), false},
		"a long nonce":              {ec.prove(good.with("nonce", strings.Repeat("n", 129))), false},
		"no aud":                    {ec.prove(good.with("aud", nil)), false},
		"two audiences":             {ec.prove(good.with("aud", []string{host, secret})), false},
		"no sub":                    {ec.prove(good.with("sub", nil)), false},
		"a long sub":                {ec.prove(good.with("sub", strings.Repeat("u", 513))), false},
		"no viewer":                 {ec.prove(good.with("viewer", nil)), false},
		"the unbound viewer":        {ec.prove(good.with("viewer", "unbound")), false},
		"exp, which is not obeyed":  {ec.prove(good.with("exp", 1)), false},
		"sub twice":                 {ec.compact(header, strings.Replace(marshal(good), "{", `{"sub":"hanako",`, 1)), false},
		"something after it":        {ec.compact(header, marshal(good)+"{}"), false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Parse(tc.compact)
			if (err == nil) != tc.want {
				t.Fatalf("error %v, want it to be accepted: %v", err, tc.want)
			}
			if err != nil && (!errors.Is(err, ErrMalformed) || strings.Contains(err.Error(), secret)) {
				t.Errorf("error %v, want one of ErrMalformed that quotes nothing", err)
			}
			if err == nil {
				if _, err := p.jws.Verify(p.key); err != nil {
					t.Errorf("the signature is not accepted: %v", err)
				}
			}
		})
	}
}

func marshal(o object) string {
	var b strings.Builder
	b.WriteString("{")
	for _, name := range []string{"alg", "typ", "jwk", "kty", "crv", "x", "y", "nonce", "aud", "sub", "viewer"} {
		value, has := o[name]
		if !has {
			continue
		}
		if b.Len() > 1 {
			b.WriteString(",")
		}
		if inner, isObject := value.(object); isObject {
			b.WriteString(`"` + name + `":` + marshal(inner))
			continue
		}
		text, _ := value.(string)
		b.WriteString(`"` + name + `":"` + text + `"`)
	}
	return b.String() + "}"
}

func rsaWith(name, value string) device {
	d := newRSA("PS256", 2048)
	d.jwk = d.jwk.with(name, value)
	return d
}

// TestThumbprint holds the example of RFC 7638, section 3.1, to what a device is known by, and RFC 8037's.
func TestThumbprint(t *testing.T) {
	for name, tc := range map[string]struct {
		jwk  string
		want string
	}{
		"RFC 7638, section 3.1": {
			`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
			"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		},
		"RFC 8037, appendix A.3": {
			`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
		},
	} {
		t.Run(name, func(t *testing.T) {
			alg := "EdDSA"
			if strings.Contains(tc.jwk, "RSA") {
				alg = "RS256"
			}
			compact := encodeJSON(`{"alg":"`+alg+`","typ":"`+Type+`","jwk":`+tc.jwk+`}`) + "." + encodeJSON(payload("n")) + ".AAAA"
			got, err := fingerprintOf(mustParse(t, compact).key)
			if err != nil {
				t.Fatal(err)
			}
			ring, err := fingerprint.ParseKeyring(fingerprint.NewSecretData())
			if err != nil {
				t.Fatal(err)
			}
			want := fingerprint.FromThumbprint([32]byte(decode(t, tc.want)))
			if a, b := ring.Device(got).Digests[0], ring.Device(want).Digests[0]; a != b {
				t.Errorf("digest %s, want %s", a, b)
			}
		})
	}
}

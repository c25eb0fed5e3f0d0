package forwardauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
)

func TestGatewaysRefuseWhoShowsNothing(t *testing.T) {
	eachGateway(t, func(t *testing.T, g *gateway) {
		g.wantDenied(t, g.get(t), 0, false)
		japanese := g.get(t, "Accept-Language: ja-JP,ja;q=0.9")
		if !strings.Contains(japanese.header.Get("Content-Language"), "ja") {
			t.Errorf("answered in %q", japanese.header.Get("Content-Language"))
		}
		g.wantDenied(t, japanese, 0, false)
	})
}

func TestGatewaysPassSessions(t *testing.T) {
	eachGateway(t, func(t *testing.T, g *gateway) {
		cookie := g.mustLogin(t, goodBody)
		_, token, _ := strings.Cut(cookie, "=")
		for i, credential := range []string{"Cookie: " + cookie, "Cookie: a=b; " + cookie + "; c=d", "Cookie: a=b; " + cookie, "Authorization: Bearer " + token} {
			seen := g.wantPassed(t, g.get(t, credential), i)
			for name, want := range map[string]string{userHeader: "hanako", slotHeader: "pc"} {
				if got := seen.Header.Values(name); len(got) != 1 || got[0] != want {
					t.Errorf("%s: %s %q, want %s", credential[:10], name, got, want)
				}
			}
			if id := seen.Header.Get(sessionHeader); len(id) != 26 {
				t.Errorf("session %q", id)
			}
			assertNoCredential(t, seen, token)
			if strings.Contains(credential, "a=b") && !strings.Contains(seen.Header.Get("Cookie"), "a=b") {
				t.Errorf("the application's own cookies are gone: %q", seen.Header.Get("Cookie"))
			}
		}
		got := g.send(t, http.MethodPost, "/form?q=1", "the body", nil, "Cookie: "+cookie)
		g.wantPassed(t, got, 4)
		if got.body != "POST /form?q=1 the body" {
			t.Errorf("the application was sent %q", got.body)
		}
	})
}

func assertNoCredential(t *testing.T, seen *http.Request, token string) {
	t.Helper()
	for name, values := range seen.Header {
		if strings.Contains(strings.Join(values, ","), token) {
			t.Errorf("the application is told the session's token in %s", name)
		}
	}
	if a := seen.Header.Get("Authorization"); a != "" {
		t.Errorf("the application is told Authorization: %q", a)
	}
}

func TestGatewaysLogInOnceByBasic(t *testing.T) {
	eachGateway(t, func(t *testing.T, g *gateway) {
		credential := []string{basicHeader, "X-Tegata-Device: aaaaaaaa", "X-Tegata-Viewer: mobile"}
		first := g.get(t, credential...)
		seen := g.wantPassed(t, first, 0)
		if first.cookie() == "" || seen.Header.Get(slotHeader) != "mobile" {
			t.Fatalf("cookie %q, slot %q", first.header.Get("Set-Cookie"), seen.Header.Get(slotHeader))
		}
		for _, name := range []string{"X-Tegata-Device", "X-Tegata-Viewer", "Authorization"} {
			if value := seen.Header.Get(name); value != "" {
				t.Errorf("the application is told %s: %s", name, value)
			}
		}
		second := g.get(t, append(credential, "Cookie: "+first.cookie())...)
		g.wantPassed(t, second, 1)
		if logins, sessions := g.relay.asked(); len(logins) != 1 || len(sessions) != 1 || second.header.Get("Set-Cookie") != "" {
			t.Errorf("%d logins, %d sessions, Set-Cookie %q: want one login in all", len(logins), len(sessions), second.header.Get("Set-Cookie"))
		}
		g.wantDenied(t, g.get(t, basic("hanako:wrong"), "X-Tegata-Device: aaaaaaaa"), 2, true)
		g.wantDenied(t, g.get(t, basic("nobody:pw"), "X-Tegata-Device: aaaaaaaa"), 2, true)
		g.wantDenied(t, g.get(t, basicHeader, "X-Tegata-Device: another-phone", "X-Tegata-Viewer: mobile"), 2, true)
	})
}

func TestGatewaysEndSessions(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, g *gateway, cookie string){
		"logout": func(t *testing.T, g *gateway, cookie string) {
			got := g.send(t, http.MethodPost, "/v1/auth/logout", "", nil, "Cookie: "+cookie, "Content-Type: application/json", "Origin: "+g.url)
			if got.status != http.StatusNoContent || !strings.HasPrefix(got.header.Get("Set-Cookie"), "__Host-tegata-session=; Path=/; Max-Age=0;") {
				t.Errorf("logout: %+v", got)
			}
		},
		"a reset": func(_ *testing.T, g *gateway, _ string) { g.relay.reset() },
		"suspension": func(_ *testing.T, g *gateway, _ string) {
			g.relay.change(func(a *authn.Account) { a.User.Suspended = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachGateway(t, func(t *testing.T, g *gateway) {
				cookie := g.mustLogin(t, goodBody)
				g.wantPassed(t, g.get(t, "Cookie: "+cookie), 0)
				end(t, g, cookie)
				g.wantDenied(t, g.get(t, "Cookie: "+cookie), 1, true)
				g.wantDenied(t, g.get(t, "Cookie: "+cookie+"x"), 1, true)
			})
		})
	}
}

// TestGatewaysStopForgedHeaders: what a client says of itself neither reaches the application nor convinces the
// sidecar.
func TestGatewaysStopForgedHeaders(t *testing.T) {
	const forgery = "f0rged"
	names := []string{
		userHeader, slotHeader, sessionHeader, "X-Tegata-Client-Cert", "X-Tegata-Device", "X-Tegata-Viewer",
		"x-tegata-user", "X-TEGATA-USER", "X_Tegata_User", "X-Tegata_User",
	}
	var forged []string
	for _, name := range names {
		forged = append(forged, name+": "+forgery, name+": "+forgery) // and twice
	}
	eachGateway(t, func(t *testing.T, g *gateway) {
		// This session has no slot, so that nothing of Tegata's takes the place of the forged one.
		cookie := g.mustLogin(t, `{"user":"hanako","password":"pw","program":"viewer","viewer":"unbound"}`)
		seen := g.wantPassed(t, g.get(t, append(forged, "Cookie: "+cookie)...), 0)
		for name, values := range seen.Header {
			if strings.Contains(strings.Join(values, ","), forgery) {
				t.Errorf("reached the application: %s: %q", name, values)
			}
		}
		if seen.Header.Get(userHeader) != "hanako" || seen.Header.Values(slotHeader) != nil {
			t.Errorf("told user %q, slot %q", seen.Header.Get(userHeader), seen.Header.Get(slotHeader))
		}
		g.wantDenied(t, g.get(t, userHeader+": hanako", sessionHeader+": 01K9ZZZZZZ0000000000000000"), 1, false)
	})
}

func TestGatewaysTellTheirPeersAddress(t *testing.T) {
	eachGateway(t, func(t *testing.T, g *gateway) {
		cookie := g.mustLogin(t, goodBody)
		g.relay.change(func(a *authn.Account) { a.User.ViewerNetwork.CIDRs = prefixes("198.51.100.0/24") })
		forged := []string{"X-Forwarded-For: 198.51.100.7", "X-Real-Ip: 198.51.100.7", "Forwarded: for=198.51.100.7"}
		g.wantDenied(t, g.get(t, append(forged, "Cookie: "+cookie)...), 0, true)
		g.wantDenied(t, g.get(t, append(forged, basicHeader, "X-Tegata-Device: aaaaaaaa")...), 0, true)
		logins, sessions := g.relay.asked()
		for _, a := range logins {
			if a.Source.String() != person {
				t.Errorf("login from %s, want %s", a.Source, person)
			}
		}
		if source := sessions[0].Source.String(); source != person {
			t.Errorf("session from %s, want %s", source, person)
		}
		g.relay.change(func(a *authn.Account) { a.User.ViewerNetwork.CIDRs = prefixes(person + "/32") })
		g.wantPassed(t, g.get(t, append(forged, "Cookie: "+cookie)...), 0)
	})
}

func TestGatewaysTellCertificates(t *testing.T) {
	eachGateway(t, func(t *testing.T, g *gateway) {
		certificate := deviceCertificate(t)
		viaTLS := g.send(t, http.MethodGet, "/", "", []tls.Certificate{certificate}, basicHeader)
		g.wantPassed(t, viaTLS, 0)
		byJSON := g.send(t, http.MethodPost, "/v1/auth/login", `{"user":"hanako","password":"pw","program":"viewer","viewer":"pc"}`,
			[]tls.Certificate{certificate}, "Content-Type: application/json")
		if byJSON.status != http.StatusOK {
			t.Errorf("login: %+v", byJSON)
		}
		logins, _ := g.relay.asked()
		for _, a := range logins {
			if a.Fingerprint == nil || a.Fingerprint.Kind() != fingerprint.Certificate || a.Viewer != decision.ViewerPC {
				t.Errorf("viewer %d logged in with %v", a.Viewer, a.Fingerprint)
			}
		}
		// The public key is no secret: whoever only tells it does not have the device.
		inPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))
		for _, told := range []string{url.PathEscape(inPEM), base64.StdEncoding.EncodeToString(certificate.Certificate[0])} {
			g.wantDenied(t, g.get(t, basicHeader, "X-Tegata-Viewer: pc", "X-Tegata-Client-Cert: "+told), 1, true)
		}
	})
}

func deviceCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestGatewaysPassOnWhereALoginComesFrom(t *testing.T) {
	eachGateway(t, func(t *testing.T, g *gateway) {
		got := g.send(t, http.MethodPost, "/v1/auth/login", goodBody, nil,
			"Content-Type: application/json", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
		if got.status != http.StatusForbidden || got.cookie() != "" {
			t.Errorf("another site's page logged in: %+v", got)
		}
		old := g.send(t, http.MethodPost, "/v1/auth/login", goodBody, nil, "Content-Type: application/json", "Origin: "+g.url)
		if old.status != http.StatusOK {
			t.Errorf("the application's page did not: %+v", old)
		}
		g.wantDenied(t, g.login(t, strings.Replace(goodBody, `"pw"`, `"wrong"`, 1)), 0, true)
	})
}

func TestGatewaysPassOnChallenges(t *testing.T) {
	eachGateway(t, func(t *testing.T, g *gateway) {
		got := g.send(t, http.MethodPost, "/v1/auth/challenges", "", nil, "Origin: "+g.url)
		if got.status != http.StatusOK || !strings.Contains(got.body, `"nonce":"`) {
			t.Errorf("%+v", got)
		}
	})
}

func TestNobodyReachesTheAnswerForGateways(t *testing.T) {
	g := kinds["nginx"].start(t)
	if got := g.send(t, http.MethodGet, "/tegata/auth", "", nil, "Cookie: "+g.mustLogin(t, goodBody)); got.status != http.StatusNotFound {
		t.Errorf("%+v", got)
	}
}

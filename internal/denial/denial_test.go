package denial

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/authn"
)

func TestDenialUsesTheRelaysOwnWords(t *testing.T) {
	messages := map[string]string{
		"en": `Ask <help@example.com> & "quote" the code`, "fr": "Refusé",
		"ja-JP": "係へ", "pt-BR": "Não", "pt-PT": "Nao", "FR": "shadowed by fr", "x--y": "no language",
	}
	for name, tc := range map[string]struct {
		accept string
		want   phrase
	}{
		"replaced":                   {"en-GB", phrase{"en", "Login refused", `Ask <help@example.com> & "quote" the code (Inquiry code: 1001)`}},
		"added":                      {"fr-CA", phrase{"fr", "Login refused", "Refusé (Inquiry code: 1001)"}},
		"built in, beside a variant": {"ja", phrase{"ja", "認証エラー", japanese.detail + "(お問い合わせコード:1001)"}},
		"a variant":                  {"ja-JP", phrase{"ja-JP", "認証エラー", "係へ(お問い合わせコード:1001)"}},
		"one of two variants":        {"pt-PT", phrase{"pt-PT", "Login refused", "Nao (Inquiry code: 1001)"}},
	} {
		t.Run(name, func(t *testing.T) {
			// Maps are ranged over in random order, which must not show.
			for range 50 {
				got := newPhrasebook(authn.Denial{Code: 1001, Messages: messages}).choose(tc.accept)
				if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(phrase{})); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestWordsFollowThePolicy(t *testing.T) {
	var r Renderer
	for _, tc := range []struct {
		denial authn.Denial
		want   string
	}{
		{authn.Denial{Code: 293}, english.detail + " (Inquiry code: 293)"},
		{authn.Denial{Code: 7}, english.detail + " (Inquiry code: 7)"},
		{authn.Denial{Code: 7, Messages: map[string]string{"en": "A <b> & \"c\""}}, `A <b> & "c" (Inquiry code: 7)`},
		{authn.Denial{Code: 7, Messages: map[string]string{"en": "B"}}, "B (Inquiry code: 7)"},
	} {
		body, language := r.Body(tc.denial, authn.NewCorrelationID(time.Now()), "en")
		var got problem
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Detail != tc.want || got.Code != tc.denial.Code || language != "en" {
			t.Errorf("denial %v answered %s in %s", tc.denial, body, language)
		}
		if strings.Contains(string(body), `\u00`) {
			t.Errorf("escaped as if it were HTML: %s", body)
		}
	}
}

// FuzzAcceptLanguage: whatever is asked for, the answer is one of the relay's languages.
func FuzzAcceptLanguage(f *testing.F) {
	book := newPhrasebook(authn.Denial{Code: 293, Messages: map[string]string{"fr": "Refusé"}})
	for _, seed := range []string{"", "en", "ja-JP;q=0.9", "*", "x-y-z", "zh-Hant-TW-u-co-stroke", "i-klingon", "a-DE-1994"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		switch got := book.choose(header); got.language {
		case "en", "ja", "fr":
		default:
			t.Fatalf("language %q", got.language)
		}
	})
}

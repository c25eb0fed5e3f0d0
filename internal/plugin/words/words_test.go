package words_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/words"
)

func TestLangFollowsTheLocale(t *testing.T) {
	tests := map[string]struct {
		flag string
		env  map[string]string
		want words.Lang
	}{
		"nothing is English":          {"auto", nil, words.English},
		"LANG":                        {"auto", map[string]string{"LANG": "ja_JP.UTF-8"}, words.Japanese},
		"LC_MESSAGES beats LANG":      {"auto", map[string]string{"LANG": "ja_JP.UTF-8", "LC_MESSAGES": "C"}, words.English},
		"LC_ALL beats LC_MESSAGES":    {"auto", map[string]string{"LC_ALL": "ja", "LC_MESSAGES": "en_US"}, words.Japanese},
		"an empty one does not count": {"auto", map[string]string{"LC_ALL": "", "LANG": "ja_JP"}, words.Japanese},
		"the flag beats all":          {"en", map[string]string{"LC_ALL": "ja"}, words.English},
		"jav is another language":     {"auto", map[string]string{"LANG": "jav_ID"}, words.English},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := words.Parse(tc.flag, func(key string) string { return tc.env[key] })
			if err != nil || got != tc.want {
				t.Errorf("got %v, %v, want %v", got, err, tc.want)
			}
		})
	}
	if _, err := words.Parse("fr", func(string) string { return "" }); err == nil {
		t.Error("--lang fr is taken")
	}
}

func TestDuration(t *testing.T) {
	tests := map[time.Duration][2]string{
		0:                               {"0s", "0秒"},
		999 * time.Millisecond:          {"0s", "0秒"},
		59 * time.Second:                {"59s", "59秒"},
		33*time.Minute + 36*time.Second: {"33m 36s", "33分 36秒"},
		100 * time.Hour:                 {"100h 0m 0s", "100時間 0分 0秒"},
		-time.Second:                    {"0s", "0秒"},
	}
	for d, want := range tests {
		if got := words.English.Duration(d); got != want[0] {
			t.Errorf("%s in English is %q, want %q", d, got, want[0])
		}
		if got := words.Japanese.Duration(d); got != want[1] {
			t.Errorf("%s in Japanese is %q, want %q", d, got, want[1])
		}
	}
}

// TestEveryReasonHasBothTexts holds new reasons to having them, and the four of the manual to its letters.
func TestEveryReasonHasBothTexts(t *testing.T) {
	for _, reason := range v1alpha1.Reasons {
		english, japanese := words.English.Reason(reason), words.Japanese.Reason(reason)
		if english == string(reason) || japanese == string(reason) || !strings.HasSuffix(english, ".") || !strings.HasSuffix(japanese, "。") {
			t.Errorf("%s is %q and %q", reason, english, japanese)
		}
	}
	for reason, want := range map[v1alpha1.Reason]string{
		"PasswordMismatch":      "失敗：MCビューアから送信されたパスワードと、サーバに登録されているパスワードが異なります。",
		"DeviceNotRegistered":   "失敗：端末認証情報が登録されていません。",
		"DeviceMismatch":        "失敗：サーバに登録されている端末認証情報と接続元端末の当該情報が異なるので接続できません。",
		"DeviceAuthUnsupported": "失敗：端末認証対応ではない MC ビューアからの接続はユーザ管理により許可されていません。",
	} {
		if got := words.Japanese.Failure(reason); got != want {
			t.Errorf("%s is %q, want %q", reason, got, want)
		}
	}
	if got := words.Japanese.Reason("Newer"); got != "Newer" {
		t.Errorf("an unknown reason is %q", got)
	}
}

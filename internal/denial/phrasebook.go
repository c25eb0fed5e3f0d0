package denial

import (
	"maps"
	"slices"
	"strconv"

	"golang.org/x/text/language"

	"github.com/tegata-dev/tegata/internal/authn"
)

// maxAcceptLanguageBytes bounds the header before it is parsed, which costs milliseconds at 16 KiB.
// Browsers send under 100 bytes.
const maxAcceptLanguageBytes = 256

// texts are the built-in words of a denial; suffix comes before the code, end after it.
type texts struct{ title, detail, suffix, end string }

var (
	english = texts{
		"Login refused",
		"You could not be authenticated. If this goes on, tell your administrator the inquiry code and the correlation ID.",
		" (Inquiry code: ", ")",
	}
	japanese = texts{
		"認証エラー",
		"認証できませんでした。解決しない場合は、お問い合わせコードと照会番号を管理者にお伝えください。",
		"(お問い合わせコード:", ")",
	}
)

// textsIn are the built-in words that go best with a language: the Japanese ones with each of Japan's
// variants, the English ones with all the rest.
func textsIn(tag language.Tag) texts {
	if base, _ := tag.Base(); base.String() == "ja" {
		return japanese
	}
	return english
}

// phrase is the words of a denial in one language.
type phrase struct{ language, title, detail string }

// phrasebook has the words of denials in every language of a relay. It does not change.
type phrasebook struct {
	code     int
	messages map[string]string
	matcher  language.Matcher
	phrases  []phrase // in the order of the matcher's tags
}

// newPhrasebook takes the built-in languages, English first because it answers whoever asks for none of
// them, and those of the relay's own messages.
func newPhrasebook(d authn.Denial) *phrasebook {
	b := &phrasebook{code: d.Code, messages: d.Messages}
	tags := []language.Tag{language.English, language.Japanese}
	own := make(map[language.Tag]string, len(d.Messages))
	// In a fixed order, or equal requests would have different answers.
	for _, name := range slices.Sorted(maps.Keys(d.Messages)) {
		tag, err := language.Parse(name)
		if err != nil {
			continue
		}
		own[tag] = d.Messages[name]
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	for _, tag := range tags {
		words := textsIn(tag)
		if message, ok := own[tag]; ok {
			words.detail = message
		}
		detail := words.detail + words.suffix + strconv.Itoa(d.Code) + words.end
		b.phrases = append(b.phrases, phrase{tag.String(), words.title, detail})
	}
	b.matcher = language.NewMatcher(tags)
	return b
}

// sayFor says whether the book is that of the denial.
func (b *phrasebook) sayFor(d authn.Denial) bool {
	return b.code == d.Code && maps.Equal(b.messages, d.Messages)
}

// choose picks the words by the languages that the person prefers.
func (b *phrasebook) choose(acceptLanguage string) phrase {
	if len(acceptLanguage) > maxAcceptLanguageBytes {
		acceptLanguage = ""
	}
	// A header that cannot be read prefers nothing.
	preferred, _, _ := language.ParseAcceptLanguage(acceptLanguage)
	_, index, _ := b.matcher.Match(preferred...)
	return b.phrases[index]
}

package login

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"golang.org/x/text/language"

	"github.com/tegata-dev/tegata/internal/authn"
)

// problem is an error reply by RFC 9457. Code and correlation id are extension members of denials.
type problem struct {
	Type          string `json:"type"`
	Title         string `json:"title"`
	Status        int    `json:"status"`
	Detail        string `json:"detail,omitempty"`
	Code          int    `json:"code,omitempty"`
	CorrelationID string `json:"correlationID,omitempty"`
}

const (
	typeDenied  = "https://tegata.dev/problems/login-denied"
	typeInvalid = "https://tegata.dev/problems/invalid-request"
)

var errMediaType = errors.New("the Content-Type must be application/json")

// texts are the built-in words of a denial.
type texts struct{ title, detail string }

var builtIn = map[language.Tag]texts{
	language.English: {
		"Login refused",
		"You could not be authenticated. If this goes on, tell your administrator the inquiry code and the correlation ID.",
	},
	language.Japanese: {
		"認証エラー",
		"認証できませんでした。解決しない場合は、お問い合わせコードと照会番号を管理者にお伝えください。",
	},
}

// defaultLanguages are the built-in ones, English first: it answers whoever asks for none of them.
var defaultLanguages = []language.Tag{language.English, language.Japanese}

// denialText picks the words of a denial by the languages that the person prefers.
func denialText(d authn.Denial, acceptLanguage string) (title, detail, contentLanguage string) {
	tags, messages := languagesOf(d)
	// A header that cannot be read prefers nothing.
	preferred, _, _ := language.ParseAcceptLanguage(acceptLanguage)
	_, index, _ := language.NewMatcher(tags).Match(preferred...)
	tag := tags[index]
	words, known := builtIn[tag]
	if !known {
		words = builtIn[language.English]
	}
	if message, ok := messages[tag]; ok {
		words.detail = message
	}
	return words.title, withCode(words.detail, tag, d.Code), tag.String()
}

// languagesOf lists the built-in languages and those of the relay's own messages.
func languagesOf(d authn.Denial) ([]language.Tag, map[language.Tag]string) {
	tags := defaultLanguages
	messages := make(map[language.Tag]string, len(d.Messages))
	for name, text := range d.Messages {
		tag, err := language.Parse(name)
		if err != nil {
			continue
		}
		messages[tag] = text
		if _, known := builtIn[tag]; !known {
			tags = append(tags[:len(tags):len(tags)], tag)
		}
	}
	return tags, messages
}

func withCode(detail string, tag language.Tag, code int) string {
	if tag == language.Japanese {
		return detail + "(お問い合わせコード:" + strconv.Itoa(code) + ")"
	}
	return detail + " (Inquiry code: " + strconv.Itoa(code) + ")"
}

// writeDenied writes the uniform denial. Every denial of one language differs in the correlation id only,
// whose length is fixed.
func writeDenied(w http.ResponseWriter, r *http.Request, d authn.Denial, id string) {
	title, detail, contentLanguage := denialText(d, r.Header.Get("Accept-Language"))
	// RFC 9110 wants a challenge with every 401; a scheme of our own keeps browsers from asking.
	w.Header().Set("WWW-Authenticate", "Tegata")
	w.Header().Set("Content-Language", contentLanguage)
	writeProblem(w, problem{
		Type: typeDenied, Title: title, Status: http.StatusUnauthorized, Detail: detail,
		Code: d.Code, CorrelationID: id,
	})
}

func writeProblem(w http.ResponseWriter, p problem) {
	writeJSON(w, "application/problem+json", p.Status, p)
}

func writeJSON(w http.ResponseWriter, contentType string, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(encoded)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // the peer is gone when this fails
}

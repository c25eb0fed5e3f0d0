package screen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON encodes a value on one line, in which no character is one that a terminal could obey: JSON has another
// spelling for each.
func JSON(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return escapeJSON(b.Bytes()), nil
}

// escapeJSON spells unsafe characters out. In JSON they can only be inside strings, but for the line break at its
// end.
func escapeJSON(encoded []byte) []byte {
	if !bytes.ContainsFunc(encoded, isUnsafeInJSON) {
		return encoded
	}
	escaped := make([]byte, 0, len(encoded)+16)
	for _, r := range string(encoded) {
		if !isUnsafeInJSON(r) {
			escaped = utf8.AppendRune(escaped, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			escaped = fmt.Appendf(escaped, `\u%04x`, unit)
		}
	}
	return escaped
}

func isUnsafeInJSON(r rune) bool { return r != '\n' && isUnsafe(r) }

// Delimiters are what CSV may have between fields, by the words for them. Where numbers have a decimal comma, Excel
// wants a semicolon.
var Delimiters = []string{",", ";", "tab"}

// Delimiter reads --delimiter.
func Delimiter(word string) (rune, error) {
	switch word {
	case ",", ";":
		return rune(word[0]), nil
	case "tab", "\t":
		return '\t', nil
	}
	return 0, fmt.Errorf("--delimiter is %q: it must be , or ; or tab", word)
}

// DelimiterOf is the delimiter of a file whose first line names columns, in whose names there is none.
func DelimiterOf(file []byte) rune {
	head, _, _ := bytes.Cut(file, []byte{'\n'})
	if at := bytes.IndexAny(head, ",;\t"); at >= 0 {
		return rune(head[at])
	}
	return ','
}

// formulaStarts begin what spreadsheets take for a formula, the wide ones in some languages, and the mark that says
// it is none.
const formulaStarts = "=+-@\t\r\n＝＋－＠'"

// CSVField marks a value that a spreadsheet would compute: '=1+1. PlainField takes the mark away again.
func CSVField(value string) string {
	if startsFormula(value) {
		return "'" + value
	}
	return value
}

// PlainField is the value that CSVField marked. A value that a person wrote with an apostrophe of its own is as
// it is.
func PlainField(field string) string {
	if rest, marked := strings.CutPrefix(field, "'"); marked && startsFormula(rest) {
		return rest
	}
	return field
}

func startsFormula(value string) bool {
	first, _ := utf8.DecodeRuneInString(value)
	return value != "" && strings.ContainsRune(formulaStarts, first)
}

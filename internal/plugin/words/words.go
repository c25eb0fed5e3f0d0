// Package words owns the two languages of the plugin: which one the reader wants, the texts of reasons, and how
// times and durations are written.
//
// It knows no cluster and no terminal. Texts that only one verb says stand in that verb, both languages beside
// each other (Lang.Of), so that a change of one is a change of both. Errors and help are in English: they are
// searched for.
package words

import (
	"fmt"
	"strings"
	"time"
)

// Lang is a language that the plugin speaks.
type Lang int

// The languages. English is for everybody who asks for none of them.
const (
	English Lang = iota
	Japanese
)

// Of picks the text in this language.
func (l Lang) Of(english, japanese string) string {
	if l == Japanese {
		return japanese
	}
	return english
}

// Sprintf formats in this language. Both formats take the same arguments.
func (l Lang) Sprintf(english, japanese string, args ...any) string {
	return fmt.Sprintf(l.Of(english, japanese), args...)
}

// Plural picks the English words for one, or for several: Japanese has the same for both.
func Plural[N int | int32 | int64](count N, one, several string) string {
	if count == 1 {
		return one
	}
	return several
}

// Parse reads --lang: en, ja, or auto for what the locale says.
func Parse(flag string, getenv func(string) string) (Lang, error) {
	switch flag {
	case "en":
		return English, nil
	case "ja":
		return Japanese, nil
	case "", "auto":
		return FromLocale(Locale(getenv, "LC_MESSAGES")), nil
	}
	return English, fmt.Errorf("--lang is %q: it must be en, ja or auto", flag)
}

// Locale is the value of a category as POSIX has it: LC_ALL goes first, LANG last, and an empty one does not count.
func Locale(getenv func(string) string, category string) string {
	for _, name := range []string{"LC_ALL", category, "LANG"} {
		if value := getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// FromLocale is the language of a locale such as ja_JP.UTF-8.
func FromLocale(locale string) Lang {
	if isLanguage(locale, "ja") {
		return Japanese
	}
	return English
}

// IsEastAsian says whether terminals of a locale show characters of ambiguous width as wide ones.
func IsEastAsian(locale string) bool {
	return isLanguage(locale, "ja") || isLanguage(locale, "ko") || isLanguage(locale, "zh")
}

func isLanguage(locale, language string) bool {
	name, _, _ := strings.Cut(strings.ToLower(locale), ".")
	name, _, _ = strings.Cut(name, "_")
	name, _, _ = strings.Cut(name, "-")
	return name == language
}

// Duration writes a duration as the manual does: 33分 36秒, 33m 36s. Hours are not folded into days: a total of
// connected time is compared with others. Parts of a second are dropped.
func (l Lang) Duration(d time.Duration) string {
	seconds := int64(max(d, 0) / time.Second)
	parts := []string{fmt.Sprintf(l.Of("%ds", "%d秒"), seconds%60)}
	if seconds >= 60 {
		parts = append([]string{fmt.Sprintf(l.Of("%dm", "%d分"), seconds/60%60)}, parts...)
	}
	if seconds >= 3600 {
		parts = append([]string{fmt.Sprintf(l.Of("%dh", "%d時間"), seconds/3600)}, parts...)
	}
	return strings.Join(parts, " ")
}

// Time writes a time in full, in the zone of t.
func (l Lang) Time(t time.Time) string {
	return t.Format(l.Of("2006-01-02 15:04:05", "2006/01/02 15:04:05"))
}

// ShortTime is Time without what is the same as now: in Japanese, as in the manual, the year.
func (l Lang) ShortTime(t, now time.Time) string {
	if l == Japanese && t.Year() == now.Year() {
		return t.Format("01/02 15:04:05")
	}
	return l.Time(t)
}

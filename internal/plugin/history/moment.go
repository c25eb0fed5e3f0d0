package history

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseMoment reads --since and --until: how long ago (90m, 2h, 7d, 2w), a date or a time of the reader's zone, a
// word, or RFC 3339. Nothing is the zero time.
func parseMoment(text string, now time.Time) (time.Time, error) {
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch strings.ToLower(text) {
	case "":
		return time.Time{}, nil
	case "now":
		return now, nil
	case "today", "今日":
		return today, nil
	case "yesterday", "昨日":
		return today.AddDate(0, 0, -1), nil
	}
	if t, ok := parseAgo(text, now); ok {
		return t, nil
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02",
		"2006/01/02 15:04:05", "2006/01/02 15:04", "2006/01/02", "2006-01",
	} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2h or 7d (ago), 2026-11-15, \"2026-11-15 10:00\", today, yesterday, or 2026-11-15T10:00:00+09:00", text)
}

// parseAgo reads a span before now. A day is one of the calendar: 1d is yesterday at the same time also when clocks
// are put forward or back in between.
func parseAgo(text string, now time.Time) (time.Time, bool) {
	if number, unit, ok := cutUnit(text); ok && (unit == "d" || unit == "w") {
		days, err := strconv.Atoi(number)
		if err != nil || days < 0 || days > 100_000 {
			return time.Time{}, false
		}
		if unit == "w" {
			days *= 7
		}
		return now.AddDate(0, 0, -days), true
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, false
	}
	return now.Add(-ago), true
}

func cutUnit(text string) (number, unit string, ok bool) {
	if len(text) < 2 {
		return "", "", false
	}
	return text[:len(text)-1], text[len(text)-1:], true
}

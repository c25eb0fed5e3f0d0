package users

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/loginname"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

const (
	// maxFile and maxUsers bound what is read into memory.
	maxFile  = 64 << 20
	maxUsers = 100_000
	// maxProblems is how many mistakes are told at once.
	maxProblems = 50
)

// line is a user, and where in the file.
type line struct {
	number int
	user   v1alpha1.RelayUser
}

// problem is a mistake in the file. Line and column are counted from 1, as editors do.
type problem struct {
	line   int
	column string
	err    error
}

func (p problem) String() string {
	if p.column == "" {
		return fmt.Sprintf("line %d: %v", p.line, p.err)
	}
	return fmt.Sprintf("line %d, column %s: %v", p.line, p.column, p.err)
}

// problems are all that is wrong with a file.
type problems []problem

func (ps problems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d mistakes in the file, so nothing was imported", len(ps))
	if len(ps) == 1 {
		b.Reset()
		b.WriteString("1 mistake in the file, so nothing was imported")
	}
	for i, p := range ps {
		if i == maxProblems {
			fmt.Fprintf(&b, "\n  … and %d more", len(ps)-maxProblems)
			break
		}
		b.WriteString("\n  " + screen.Clean(p.String()))
	}
	return b.String()
}

// decode turns a file into UTF-8 without a byte order mark.
func decode(in io.Reader, encodingName string) ([]byte, error) {
	file, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the file: %w", err)
	case len(file) > maxFile:
		return nil, fmt.Errorf("the file has more than %d MiB", maxFile>>20)
	case bytes.HasPrefix(file, []byte("\xff\xfe")), bytes.HasPrefix(file, []byte("\xfe\xff")):
		return nil, errors.New("the file is in UTF-16: save it as \"CSV UTF-8\"")
	}
	e, err := encodingOf(encodingName)
	if err != nil {
		return nil, err
	}
	if e == encodings["utf-8"] {
		file = bytes.TrimPrefix(file, []byte("\ufeff"))
		if !utf8.Valid(file) {
			return nil, errors.New("the file is not in UTF-8: if Excel wrote it as plain CSV in Japan, give --encoding shift_jis")
		}
		return file, nil
	}
	decoded, err := e.NewDecoder().Bytes(file)
	if err != nil || bytes.ContainsRune(decoded, utf8.RuneError) {
		return nil, fmt.Errorf("the file is not in %s", encodingName)
	}
	return decoded, nil
}

// parse reads the users of a file. Its error is problems, unless the file is no CSV of users at all.
func parse(file []byte) ([]line, error) {
	reader := csv.NewReader(bytes.NewReader(file))
	reader.Comma = screen.DelimiterOf(file)
	reader.FieldsPerRecord = -1 // told by line below
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("read the first line, which has to name the columns: %w", err)
	}
	heads, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	var lines []line
	var wrong problems
	for {
		fields, err := reader.Read()
		switch {
		case errors.Is(err, io.EOF):
			wrong = append(wrong, duplicates(lines)...)
			slices.SortStableFunc(wrong, func(a, b problem) int { return a.line - b.line })
			return lines, asError(wrong)
		case err != nil:
			return nil, asError(append(wrong, csvProblem(err)))
		case len(lines) == maxUsers:
			return nil, fmt.Errorf("the file has more than %d users", maxUsers)
		case isBlank(fields):
			continue
		}
		number, _ := reader.FieldPos(0)
		user, mistakes := parseLine(number, heads, fields)
		wrong = append(wrong, mistakes...)
		lines = append(lines, line{number, user})
	}
}

func asError(wrong problems) error {
	if len(wrong) == 0 {
		return nil
	}
	return wrong
}

func csvProblem(err error) problem {
	if parseError, ok := errors.AsType[*csv.ParseError](err); ok {
		return problem{line: parseError.Line, err: parseError.Err}
	}
	return problem{err: err}
}

// isBlank passes over the empty lines that a spreadsheet leaves at the end.
func isBlank(fields []string) bool {
	for _, field := range fields {
		if strings.TrimSpace(field) != "" {
			return false
		}
	}
	return true
}

func parseHeader(header []string) ([]*column, error) {
	heads := make([]*column, len(header))
	seen := map[string]bool{}
	for i, field := range header {
		name := strings.TrimSpace(field)
		c := columnNamed(name)
		switch {
		case strings.EqualFold(name, "password"):
			return nil, errors.New("line 1: passwords must not be in this file: leave the column out, and set them with kubectl relay passwd")
		case c == nil:
			return nil, fmt.Errorf("line 1: there is no column %q; the columns are %s", name, columnNames())
		case seen[c.name]:
			return nil, fmt.Errorf("line 1: the column %s is there twice", c.name)
		}
		heads[i], seen[c.name] = c, true
	}
	for _, name := range []string{"name", "server"} {
		if !seen[name] {
			return nil, fmt.Errorf("line 1: the column %s is missing", name)
		}
	}
	return heads, nil
}

func columnNames() string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

func parseLine(number int, heads []*column, fields []string) (v1alpha1.RelayUser, problems) {
	var user v1alpha1.RelayUser
	var wrong problems
	if len(fields) != len(heads) {
		return user, problems{{line: number, err: fmt.Errorf("it has %d fields, and the first line %d", len(fields), len(heads))}}
	}
	for i, field := range fields {
		value := screen.PlainField(field)
		if heads[i].name != "memo" {
			value = strings.TrimSpace(value)
		}
		if value == "" {
			continue
		}
		if err := heads[i].set(&user, value); err != nil {
			wrong = append(wrong, problem{number, heads[i].name, err})
		}
	}
	told := map[string]bool{}
	for _, p := range wrong {
		told[p.column] = true
	}
	for _, p := range checkUser(number, &user) {
		if !told[p.column] {
			wrong = append(wrong, p)
		}
	}
	return user, wrong
}

// checkUser checks what concerns several fields.
func checkUser(number int, u *v1alpha1.RelayUser) problems {
	var wrong problems
	add := func(column, text string) { wrong = append(wrong, problem{number, column, errors.New(text)}) }
	if u.Name == "" {
		add("name", "it is empty")
	}
	if u.Spec.ServerRef.Name == "" {
		add("server", "it is empty")
	}
	if viewer := u.Spec.Programs.Viewer; viewer.Combined && !viewer.Mobile {
		add("combined", "it needs mobile: it permits a phone beside the PC")
	}
	if from, until := u.Spec.ValidFrom, u.Spec.ValidUntil; from != nil && until != nil && !from.Before(until) {
		add("validUntil", "it must be after validFrom")
	}
	return wrong
}

// duplicates are users who are there twice, by their name or, on one server, by their login name.
func duplicates(lines []line) problems {
	var wrong problems
	names, logins := map[string]int{}, map[string]int{}
	for i := range lines {
		l := &lines[i]
		if l.user.Name == "" {
			continue // told already
		}
		if first, known := names[l.user.Name]; known {
			wrong = append(wrong, problem{l.number, "name", fmt.Errorf("%s is on line %d already", l.user.Name, first)})
			continue
		}
		names[l.user.Name] = l.number
		login, err := loginname.Normalize(l.user.LoginName())
		if err != nil {
			wrong = append(wrong, problem{l.number, "name", fmt.Errorf("%q cannot be a login name: %w", l.user.LoginName(), err)})
			continue
		}
		key := l.user.Spec.ServerRef.Name + "\x00" + login
		if first, known := logins[key]; known {
			wrong = append(wrong, problem{l.number, "userName", fmt.Errorf("the login name %s is on line %d already", l.user.LoginName(), first)})
			continue
		}
		logins[key] = l.number
	}
	return wrong
}

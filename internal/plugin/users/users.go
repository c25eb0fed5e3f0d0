// Package users is `kubectl relay users import` and `kubectl relay users export`: many RelayUsers at once, as CSV that a
// spreadsheet can edit (一括管理); and `kubectl relay users delete`: one, for good.
//
// columns.go says what the CSV has; import and export use the same table, so that what is exported can be imported.
// Passwords are in neither: a file that is mailed about is no place for them.
package users

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// Command is the verb.
func Command(s *shell.Shell) *cobra.Command {
	cmd := &cobra.Command{
		Use: "users", Short: "Import and export many users at once, as CSV; delete one for good",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return shell.Usage(fmt.Errorf("%s has import, export and delete, not %q", cmd.CommandPath(), args[0]))
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(importCommand(s), exportCommand(s), deleteCommand(s))
	return cmd
}

// encodings are those in which spreadsheets write CSV. Excel in Japan writes Shift_JIS unless told otherwise.
var encodings = map[string]encoding.Encoding{
	"utf-8":     unicode.UTF8,
	"shift_jis": japanese.ShiftJIS,
}

func encodingOf(name string) (encoding.Encoding, error) {
	switch lower := strings.ToLower(name); lower {
	case "utf8":
		return encodings["utf-8"], nil
	case "sjis", "shift-jis", "cp932", "windows-31j":
		return encodings["shift_jis"], nil
	default:
		if e := encodings[lower]; e != nil {
			return e, nil
		}
	}
	return nil, fmt.Errorf("--encoding is %q: it must be utf-8 or shift_jis", name)
}

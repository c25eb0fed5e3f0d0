// Package history is `kubectl relay history`: the access history of one or all users, as the manual's page has it
// or for programs, and `history forget`, which erases it.
//
// It asks the history server's API only; what is not there it does not make up from a user's status.
package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// defaultRows is how many attempts a table has unless --limit says otherwise.
const defaultRows = 100

const example = `  # who was refused today, and why
  kubectl relay history --result failure --since today
  # one person's page, with the machines that were reached
  kubectl relay history taro --show destination
  # follow live
  kubectl relay history --follow
  # a month for the auditors
  kubectl relay history --since 2026-11-01 --until 2026-12-01 -o csv > november.csv`

// options are what was asked for.
type options struct {
	*shell.Shell
	who                string
	program            string
	result             string
	show               []string
	since, until       string
	reason             string
	server             string
	follow             bool
	output             string
	limit              int64
	bom                bool
	comma              string
	limitSet           bool
	sinceTime, endTime time.Time

	client client.WithWatch
}

// Command is the verb.
func Command(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	cmd := &cobra.Command{
		Use: "history [USER]", Short: "Show who connected when, for how long and from where, and why not",
		Example: example, Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.CompleteUser,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.program, "type", "both", "Programs: viewer, client or both")
	flags.StringVar(&o.result, "result", "all", "Results: success, failure or all")
	flags.StringSliceVar(&o.show, "show", nil, "Columns to add: destination (the client that a viewer reached), source (the viewer that reached a client)")
	flags.StringVar(&o.since, "since", "", "Attempts that began then or later: a time ago (2h, 7d), a date, today, yesterday, or RFC 3339")
	flags.StringVar(&o.until, "until", "", "Attempts that began before then; spelled as --since")
	flags.StringVar(&o.reason, "reason", "", "Failures of this reason only, such as DeviceMismatch")
	flags.StringVar(&o.server, "relay-server", "", "Attempts at this RelayServer only")
	flags.BoolVarP(&o.follow, "follow", "f", false, "Go on with attempts as they come, until interrupted")
	flags.StringVarP(&o.output, "output", "o", "table", "Format: table, json, jsonl or csv")
	flags.Int64Var(&o.limit, "limit", 0, fmt.Sprintf("At most so many attempts, the newest; 0 for all. A table has %d unless this is given", defaultRows))
	flags.BoolVar(&o.bom, "bom", false, "Begin CSV with a byte order mark, by which Excel knows UTF-8")
	flags.StringVar(&o.comma, "delimiter", ",", "What is between the fields of CSV: , or ; or tab")
	for name, choices := range map[string][]string{
		"type": {"viewer", "client", "both"}, "result": {"success", "failure", "all"}, "show": {"destination", "source"},
		"output": {"table", "json", "jsonl", "csv"}, "reason": reasonNames(),
		"delimiter": screen.Delimiters,
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, shell.CompleteWords(choices...)) // the flag is above
	}
	_ = cmd.RegisterFlagCompletionFunc("relay-server", s.CompleteServer) // the flag is above
	run := s.Run(o)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.limitSet = flags.Changed("limit")
		return run(cmd, args)
	}
	cmd.AddCommand(forgetCommand(s))
	return cmd
}

func reasonNames() []string {
	var names []string
	for _, r := range v1alpha1.Reasons {
		names = append(names, string(r))
	}
	return names
}

// Complete reads the times.
func (o *options) Complete(args []string) error {
	if len(args) > 0 {
		o.who = args[0]
	}
	if !o.limitSet && o.output == "table" {
		o.limit = defaultRows
	}
	o.normalizeWords()
	now := o.Local(o.Now())
	var err error
	if o.sinceTime, err = parseMoment(o.since, now); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if o.endTime, err = parseMoment(o.until, now); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	return nil
}

// normalizeWords takes words in any case, as --field-selector does: tables and CSV have Success and Viewer.
func (o *options) normalizeWords() {
	o.program, o.result, o.output = strings.ToLower(o.program), strings.ToLower(o.result), strings.ToLower(o.output)
	for _, reason := range v1alpha1.Reasons {
		if strings.EqualFold(o.reason, string(reason)) {
			o.reason = string(reason)
		}
	}
}

// Validate refuses words that mean nothing here.
func (o *options) Validate() error {
	for _, flag := range []struct {
		name, value string
		choices     []string
	}{
		{"type", o.program, []string{"viewer", "client", "both"}},
		{"result", o.result, []string{"success", "failure", "all"}},
		{"output", o.output, []string{"table", "json", "jsonl", "csv"}},
	} {
		if !slices.Contains(flag.choices, flag.value) {
			return fmt.Errorf("--%s is %q: it must be one of %s", flag.name, flag.value, strings.Join(flag.choices, ", "))
		}
	}
	for _, column := range o.show {
		if column != "destination" && column != "source" {
			return fmt.Errorf("--show is %q: it must be destination or source", column)
		}
	}
	switch {
	case o.reason != "" && !slices.Contains(v1alpha1.Reasons, v1alpha1.Reason(o.reason)):
		return fmt.Errorf("--reason is %q: it must be one of %s", o.reason, strings.Join(reasonNames(), ", "))
	case o.reason != "" && o.result == "success":
		return errors.New("--reason is of failures: it finds none with --result success")
	case o.limit < 0:
		return errors.New("--limit must not be negative")
	case o.follow && (o.output == "json" || o.until != ""):
		return errors.New("--follow has no end: it goes with -o table, jsonl or csv, and not with --until")
	case !o.sinceTime.IsZero() && !o.endTime.IsZero() && !o.sinceTime.Before(o.endTime):
		return errors.New("--since is not before --until")
	case o.bom && o.output != "csv":
		return errors.New("--bom is for -o csv")
	case o.comma != "," && o.output != "csv":
		return errors.New("--delimiter is for -o csv")
	}
	_, err := screen.Delimiter(o.comma)
	return err
}

// Run shows the history.
func (o *options) Run(ctx context.Context) error {
	var err error
	if o.client, err = o.Client(); err != nil {
		return err
	}
	selector, err := o.selector(ctx)
	if err != nil {
		return err
	}
	printer := o.printer()
	version, err := o.records(ctx, selector, printer)
	if err != nil || !o.follow {
		return err
	}
	return o.followFrom(ctx, selector, version, printer)
}

// selector is what is asked of the server.
func (o *options) selector(ctx context.Context) (fields.Selector, error) {
	set := fields.Set{}
	if o.who != "" {
		key, value, err := whose(ctx, o.Shell, o.client, o.who)
		if err != nil {
			return nil, err
		}
		set[key] = value
	}
	if o.program != "both" {
		set["program"] = o.program
	}
	switch {
	case o.result == "success":
		set["result"] = "Success"
	case o.result == "failure" || o.reason != "":
		set["result"] = "Failure"
	}
	for key, value := range map[string]string{
		"reason": o.reason, "server": o.server, "since": rfc3339(o.sinceTime), "until": rfc3339(o.endTime),
	} {
		if value != "" {
			set[key] = value
		}
	}
	return fields.SelectorFromSet(set), nil
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// whose is the field by which a person's records are found: that of the RelayUser, or, when there is none or it
// may not be read, the name as it was given. Records outlive their user.
func whose(ctx context.Context, s *shell.Shell, c client.Reader, who string) (key, value string, err error) {
	user, err := s.FindUser(ctx, c, who)
	switch {
	case err == nil:
		return fieldUser, user.Name, nil
	case apierrors.IsForbidden(err):
		return fieldUser, who, nil
	case shell.CodeOf(err) != shell.NotFound:
		return "", "", err
	}
	var usage historyv1alpha1.UserUsage
	if c.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: who}, &usage) == nil {
		return fieldUser, who, nil // deleted since
	}
	s.Note(s.Lang.Of("note: there is no RelayUser %s: records of attempts at that login name are shown",
		"注意：RelayUser %s はありません。このユーザ名で試みられた接続を表示します。"), who)
	return fieldUserName, who, nil
}

// The fields by which records of a person are found: the RelayUser's name, and the login name as typed.
const (
	fieldUser     = "user"
	fieldUserName = "userName"
)

// Package sessions is `kubectl relay sessions`: a user's open sessions, as the access history knows them, and --end,
// which ends them by spec.endSessionsBefore.
package sessions

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

const (
	pageSize = 500
	// maxTTL is the longest that a session can last: session.ttl of a RelayServer has this bound.
	maxTTL = 168 * time.Hour
)

type options struct {
	*shell.Shell
	who  string
	end  bool
	yes  bool
	json bool
	out  string

	client client.Client
}

// Command is the verb.
func Command(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	cmd := &cobra.Command{
		Use: "sessions USER", Short: "List a user's open sessions, and end them",
		Example: "  kubectl relay sessions taro\n  kubectl relay sessions taro --end",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: s.CompleteUser, RunE: s.Run(o),
	}
	cmd.Flags().BoolVar(&o.end, "end", false, "End every session that has begun until now; the person can log in again")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "Do not ask")
	cmd.Flags().StringVarP(&o.out, "output", "o", "table", "Format: table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", shell.CompleteWords("table", "json")) // the flag is above
	return cmd
}

// Complete takes the name.
func (o *options) Complete(args []string) error {
	o.who = args[0]
	return nil
}

// Validate knows two formats.
func (o *options) Validate() error {
	switch o.out {
	case "table":
	case "json":
		o.json = true
	default:
		return fmt.Errorf("--output is %q: it must be table or json", o.out)
	}
	return nil
}

// Run lists, and ends.
func (o *options) Run(ctx context.Context) error {
	var err error
	if o.client, err = o.Client(); err != nil {
		return err
	}
	user, err := o.FindUser(ctx, o.client, o.who)
	if err != nil {
		return err
	}
	open, err := o.open(ctx, user)
	switch {
	case err == nil:
		err = o.show(user, open)
	case o.end && isAbsent(err): // they can be ended without being seen
		o.Note("%s", o.Lang.Of("note: there is no access history here, so the sessions cannot be listed", "注意：アクセス履歴がないため、セッションの一覧は表示できません。"))
		err = nil
	case isAbsent(err):
		return fmt.Errorf("%w, so the sessions cannot be listed; --end ends them all the same", shell.ErrNoHistory)
	}
	if err != nil || !o.end {
		return err
	}
	return o.endAll(ctx, user)
}

func isAbsent(err error) bool { return shell.IsAbsent(err) || apierrors.IsNotFound(err) }

// open are the records of sessions that last, as far as is known, newest first.
func (o *options) open(ctx context.Context, user *v1alpha1.RelayUser) ([]historyv1alpha1.AccessRecord, error) {
	selector := client.MatchingFields{
		"user": user.Name, "result": string(historyv1alpha1.ResultSuccess),
		"since": o.Now().Add(-maxTTL - time.Hour).UTC().Format(time.RFC3339),
	}
	open := []historyv1alpha1.AccessRecord{}
	var list historyv1alpha1.AccessRecordList
	for {
		next := list.Continue
		list = historyv1alpha1.AccessRecordList{}
		err := o.client.List(ctx, &list, client.InNamespace(o.Namespace), client.MatchingFieldsSelector{Selector: fields.Set(selector).AsSelector()},
			client.Limit(pageSize), client.Continue(next))
		if err != nil {
			return nil, fmt.Errorf("read the access history: %w", err)
		}
		for i := range list.Items {
			r := &list.Items[i]
			ended := user.Spec.EndSessionsBefore != nil && r.StartTime.Before(&metav1.MicroTime{Time: user.Spec.EndSessionsBefore.Time})
			if r.State == historyv1alpha1.StateOpen && !ended {
				open = append(open, *r)
			}
		}
		if list.Continue == "" {
			return open, nil
		}
	}
}

func (o *options) show(user *v1alpha1.RelayUser, open []historyv1alpha1.AccessRecord) error {
	if o.json {
		line, err := screen.JSON(historyv1alpha1.AccessRecordList{
			TypeMeta: metav1.TypeMeta{APIVersion: historyv1alpha1.GroupVersion.String(), Kind: "AccessRecordList"}, Items: open,
		})
		if err != nil {
			return err
		}
		_, err = o.Terminal.Writer().Write(line)
		return err
	}
	if len(open) == 0 {
		return o.Terminal.Printf(o.Lang.Of("%s has no open session.\n", "%s の接続中のセッションはありません。\n"), user.Name)
	}
	table := &screen.Table{Headings: []string{
		o.Lang.Of("SESSION", "セッション"), o.Lang.Of("START", "接続開始時刻"), o.Lang.Of("LASTS UNTIL", "有効期限"),
		o.Lang.Of("DEVICE", "端末"), o.Lang.Of("SOURCE ADDRESS", "接続元アドレス"), o.Lang.Of("DESTINATION", "接続先クライアント"),
	}}
	for i := range open {
		r := &open[i]
		until := "-"
		if r.ExpireTime != nil {
			until = o.Lang.Time(o.Local(r.ExpireTime.Time))
		}
		table.Row(r.Name, o.Lang.Time(o.Local(r.StartTime.Time)), until, dash(o.Lang.Slot(v1alpha1.Slot(r.Slot))), dash(r.SourceAddress), dash(r.Destination))
	}
	return o.Terminal.Print(table, "")
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

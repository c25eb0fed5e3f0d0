// Package suspend is `kubectl relay suspend` and `kubectl relay resume`: whether a user's logins are refused. Devices
// stay registered. It sets spec.suspended, and spec.memo where asked, and nothing else.
package suspend

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// maxMemo is how long spec.memo may be.
const maxMemo = 1024

type options struct {
	*shell.Shell
	suspend bool
	who     string
	memo    string
	memoSet bool
}

// Command is the verb suspend.
func Command(s *shell.Shell) *cobra.Command {
	return command(s, true, "suspend USER", "Refuse every login of a user; devices stay registered",
		"  kubectl relay suspend taro --memo \"lost laptop, ticket 1234\"")
}

// ResumeCommand is the verb resume.
func ResumeCommand(s *shell.Shell) *cobra.Command {
	return command(s, false, "resume USER", "Admit a suspended user again", "  kubectl relay resume taro")
}

func command(s *shell.Shell, suspend bool, use, short, example string) *cobra.Command {
	o := &options{Shell: s, suspend: suspend}
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ExactArgs(1), ValidArgsFunction: s.CompleteUser}
	cmd.Flags().StringVar(&o.memo, "memo", "", "Replace the user's memo, which administrators see")
	run := s.Run(o)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.memoSet = cmd.Flags().Changed("memo")
		return run(cmd, args)
	}
	return cmd
}

// Complete takes the name.
func (o *options) Complete(args []string) error {
	o.who = args[0]
	return nil
}

// Validate checks the memo's length.
func (o *options) Validate() error {
	if utf8.RuneCountInString(o.memo) > maxMemo {
		return errors.New("--memo is too long: at most 1024 characters")
	}
	return nil
}

// Run patches the user.
func (o *options) Run(ctx context.Context) error {
	c, err := o.Client()
	if err != nil {
		return err
	}
	user, err := o.FindUser(ctx, c, o.who)
	if err != nil {
		return err
	}
	before := user.DeepCopy()
	user.Spec.Suspended = o.suspend
	if o.memoSet {
		user.Spec.Memo = o.memo
	}
	if err := c.Patch(ctx, user, client.MergeFrom(before), client.FieldOwner(shell.FieldOwner)); err != nil {
		return fmt.Errorf("patch relayuser %s: %w", user.Name, err)
	}
	o.NoteGit(user, "spec.suspended")
	return o.Terminal.Printf("%s\n", screen.Clean(o.say(before.Spec.Suspended, user.Name)))
}

func (o *options) say(was bool, name string) string {
	switch {
	case o.suspend && was:
		return o.Lang.Sprintf("%s was suspended already.", "%s はすでに利用停止中です。", name)
	case o.suspend:
		return o.Lang.Sprintf("%s is suspended: every login is refused, and sessions end. Devices stay registered.",
			"%s の利用を停止しました。ログインは拒否され、接続中のセッションも終了します。端末の登録は残ります。", name)
	case !was:
		return o.Lang.Sprintf("%s was not suspended.", "%s は利用停止中ではありません。", name)
	}
	return o.Lang.Sprintf("%s may log in again.", "%s の利用を再開しました。", name)
}

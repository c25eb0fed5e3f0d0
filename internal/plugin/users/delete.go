package users

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// ackInterval is how often it is looked whether the manager has seen the annotation.
const ackInterval = 250 * time.Millisecond

// deletion deletes a user so that the devices are forgotten.
type deletion struct {
	*shell.Shell
	who         string
	yes, dryRun bool
	timeout     time.Duration
}

func deleteCommand(s *shell.Shell) *cobra.Command {
	d := &deletion{Shell: s}
	cmd := &cobra.Command{
		Use: "delete USER", Short: "Delete a user for good, and forget the devices",
		Long: "Deletes a RelayUser and has its devices, and those that resets removed, forgotten. After kubectl delete, a\n" +
			"RelayUser of the same login name gets them back.",
		Example: "  kubectl relay users delete taro", Args: cobra.ExactArgs(1), ValidArgsFunction: s.CompleteUser, RunE: s.Run(d),
	}
	cmd.Flags().BoolVarP(&d.yes, "yes", "y", false, "Do not ask")
	cmd.Flags().BoolVar(&d.dryRun, "dry-run", false, "Say what would be deleted, and delete nothing")
	cmd.Flags().DurationVar(&d.timeout, "timeout", 30*time.Second, "How long to wait for the manager before the user is deleted")
	return cmd
}

// Complete takes the name.
func (d *deletion) Complete(args []string) error {
	d.who = args[0]
	return nil
}

// Validate checks the time.
func (d *deletion) Validate() error {
	if d.timeout <= 0 {
		return errors.New("--timeout must be more than nothing")
	}
	return nil
}

// Run tells, asks, has the manager know, and deletes.
func (d *deletion) Run(ctx context.Context) error {
	c, err := d.Client()
	if err != nil {
		return err
	}
	user, err := d.FindUser(ctx, c, d.who)
	if err != nil {
		return err
	}
	if err := d.Terminal.Printf("%s\n", screen.Clean(d.plan(user))); err != nil {
		return err
	}
	if d.dryRun {
		return d.Terminal.Printf("%s\n", d.Lang.Of("Nothing was changed (dry run).", "変更は行っていません（dry run）。"))
	}
	if err := d.Confirm(ctx, d.yes, d.Lang.Of("Delete the user, and forget the devices?", "ユーザを削除し、端末認証情報を消去します。よろしいですか?")); err != nil {
		return err
	}
	if err := d.forget(ctx, c, user); err != nil {
		return err
	}
	if err := c.Delete(ctx, user, client.Preconditions{UID: &user.UID}); err != nil {
		return fmt.Errorf("delete relayuser %s: %w", user.Name, err)
	}
	d.NoteGitRemoval(user)
	return d.Terminal.Printf("%s\n", screen.Clean(d.Lang.Sprintf(
		"%s is deleted, and the devices are forgotten.", "%s を削除し、端末認証情報を消去しました。", user.Name)))
}

// plan says what goes.
func (d *deletion) plan(user *v1alpha1.RelayUser) string {
	var bound []string
	for i := range user.Status.Slots {
		if s := &user.Status.Slots[i]; s.Binding != nil {
			bound = append(bound, string(s.Slot))
		}
	}
	if len(bound) == 0 {
		return d.Lang.Sprintf("%s (login name %s, server %s) holds no device.", "%s（ユーザ名 %s、中継管理サーバ %s）に登録済みの端末はありません。",
			user.Name, user.LoginName(), user.Spec.ServerRef.Name)
	}
	return d.Lang.Sprintf("%s (login name %s, server %s) holds devices: %s.", "%s（ユーザ名 %s、中継管理サーバ %s）の登録済みの端末：%s",
		user.Name, user.LoginName(), user.Spec.ServerRef.Name, strings.Join(bound, ", "))
}

// forget annotates the user and waits until the record of the devices goes with it. If that does not come, it takes the
// annotation back: who applies the user again should get what the user had.
func (d *deletion) forget(ctx context.Context, c client.Client, user *v1alpha1.RelayUser) error {
	before := user.DeepCopy()
	if user.Annotations == nil {
		user.Annotations = map[string]string{}
	}
	user.Annotations[v1alpha1.AnnotationForgetBindings] = "true"
	if err := c.Patch(ctx, user, client.MergeFrom(before), client.FieldOwner(shell.FieldOwner)); err != nil {
		return fmt.Errorf("annotate relayuser %s: %w", user.Name, err)
	}
	failed := d.await(ctx, c, user)
	if failed == nil || before.Annotations[v1alpha1.AnnotationForgetBindings] == "true" {
		return failed
	}
	annotated := user.DeepCopy()
	user.Annotations = before.Annotations
	if err := c.Patch(context.WithoutCancel(ctx), user, client.MergeFrom(annotated), client.FieldOwner(shell.FieldOwner)); err != nil {
		return errors.Join(failed, fmt.Errorf("take the annotation %s of relayuser %s back: %w", v1alpha1.AnnotationForgetBindings, user.Name, err))
	}
	return failed
}

func (d *deletion) await(ctx context.Context, c client.Reader, user *v1alpha1.RelayUser) error {
	reason, message := "", ""
	err := wait.PollUntilContextTimeout(ctx, ackInterval, d.timeout, true, func(ctx context.Context) (bool, error) {
		now := &v1alpha1.RelayUser{}
		if err := c.Get(ctx, client.ObjectKeyFromObject(user), now); err != nil {
			return false, fmt.Errorf("get relayuser %s: %w", user.Name, err)
		}
		if now.UID != user.UID {
			return false, fmt.Errorf("relayuser %s was replaced meanwhile", user.Name)
		}
		recorded := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionBindingsRecorded)
		if recorded == nil {
			return false, nil
		}
		reason, message = recorded.Reason, recorded.Message
		// Of one who is not served there is no record.
		return reason == v1alpha1.ReasonForgottenOnDelete || reason == v1alpha1.ReasonNotServed, nil
	})
	if !wait.Interrupted(err) || ctx.Err() != nil {
		return err
	}
	if reason == "" {
		reason, message = "Unknown", "the manager has said nothing of this user"
	}
	return shell.Exitf(shell.TimedOut, "the manager did not say within %s that the devices of %s will be forgotten (%s: %s); the user was not deleted",
		d.timeout, user.Name, reason, message)
}

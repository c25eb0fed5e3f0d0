package sessions

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// endAll ends every session that began before now, by the API server's clock: a time in the future would end those
// that begin later as well, and this machine's clock may be wrong.
func (o *options) endAll(ctx context.Context, user *v1alpha1.RelayUser) error {
	if err := o.Confirm(ctx, o.yes, o.Lang.Sprintf("End every session of %s?", "%s のセッションをすべて終了します。よろしいですか?", user.Name)); err != nil {
		return err
	}
	now, err := o.nextSecond(ctx)
	if err != nil {
		return err
	}
	if set := user.Spec.EndSessionsBefore; set != nil && !set.Time.Before(now) {
		return fmt.Errorf("spec.endSessionsBefore of %s is %s, which is later than now: every session is refused until then; nothing was changed",
			user.Name, set.UTC().Format(time.RFC3339))
	}
	before := user.DeepCopy()
	at := metav1.NewTime(now.UTC())
	user.Spec.EndSessionsBefore = &at
	if err := o.client.Patch(ctx, user, client.MergeFrom(before), client.FieldOwner(shell.FieldOwner)); err != nil {
		return fmt.Errorf("patch relayuser %s: %w", user.Name, err)
	}
	o.NoteGit(user, "spec.endSessionsBefore: "+at.Format(time.RFC3339))
	return o.Terminal.Printf(o.Lang.Of("Every session of %s that began before %s ends now. The person can log in again.\n",
		"%s の %s より前に始まったセッションを終了しました。再度ログインできます。\n"), user.Name, o.Lang.Time(o.Local(now)))
}

// nextSecond waits until the second of the API server's clock in which it was called is over, and returns the one
// that has begun. The field has whole seconds: thus sessions that began just now are before it, and it is not in
// the future.
func (o *options) nextSecond(ctx context.Context) (time.Time, error) {
	first, err := o.ServerTime(ctx)
	if err != nil {
		return time.Time{}, err
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-ticker.C:
		}
		if now, err := o.ServerTime(ctx); err != nil || now.After(first) {
			return now, err
		}
	}
}

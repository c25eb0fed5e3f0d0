package reset

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
	"github.com/tegata-dev/tegata/internal/plugin/words"
)

// retryDelay is between two attempts to watch.
const retryDelay = time.Second

// await follows a DeviceReset until it is over.
func (o *options) await(ctx context.Context, reset *v1alpha1.DeviceReset) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	told := ""
	for {
		finished, err := o.watchOnce(ctx, reset, &told)
		switch {
		case finished != nil:
			return o.outcome(finished)
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return shell.Exitf(shell.TimedOut, "devicereset %s is not complete after %s; it goes on: kubectl wait devicereset/%s --for=condition=Complete -n %s",
				reset.Name, o.timeout, reset.Name, o.Namespace)
		case ctx.Err() != nil:
			return shell.Exitf(shell.TimedOut, "interrupted; devicereset %s goes on: kubectl get devicereset %s -n %s", reset.Name, reset.Name, o.Namespace)
		case apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsUnauthorized(err):
			return fmt.Errorf("follow devicereset %s, which goes on: %w", reset.Name, err)
		case err != nil:
			o.Note(o.Lang.Of("note: the connection was lost, trying again: %v", "注意：接続が切れました。再接続します：%v"), err)
			pause(ctx)
		}
	}
}

func pause(ctx context.Context) {
	timer := time.NewTimer(retryDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// watchOnce returns the reset when it is over, and nil when the watch ended before. It reads the reset before it
// watches: a change between two watches is not missed.
func (o *options) watchOnce(ctx context.Context, reset *v1alpha1.DeviceReset, told *string) (*v1alpha1.DeviceReset, error) {
	current := &v1alpha1.DeviceReset{}
	if err := o.client.Get(ctx, client.ObjectKeyFromObject(reset), current); err != nil {
		return nil, err
	}
	if o.isOver(current, told) {
		return current, nil
	}
	watcher, err := o.client.Watch(ctx, &v1alpha1.DeviceResetList{}, client.InNamespace(o.Namespace), &client.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", reset.Name),
		Raw:           &metav1.ListOptions{ResourceVersion: current.ResourceVersion},
	})
	if err != nil {
		return nil, err
	}
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case event, open := <-watcher.ResultChan():
			if !open || event.Type == watch.Error {
				return nil, nil //nolint:nilnil // it is read anew
			}
			changed, isReset := event.Object.(*v1alpha1.DeviceReset)
			switch {
			case !isReset:
			case event.Type == watch.Deleted && !o.isOver(changed, told):
				return nil, shell.Exitf(shell.ResetFailed, "devicereset %s was deleted before it was complete", reset.Name)
			case o.isOver(changed, told):
				return changed, nil
			}
		}
	}
}

// isOver tells of progress, each step once.
func (o *options) isOver(reset *v1alpha1.DeviceReset, told *string) bool {
	conditions := reset.Status.Conditions
	if meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionComplete) || meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionFailed) {
		return true
	}
	if complete := meta.FindStatusCondition(conditions, v1alpha1.ConditionComplete); complete != nil {
		step := o.step(reset, complete)
		if step != *told {
			*told = step
			o.Note("%s", step)
		}
	}
	return false
}

func (o *options) step(reset *v1alpha1.DeviceReset, complete *metav1.Condition) string {
	switch complete.Reason {
	case v1alpha1.ReasonClearing:
		return o.Lang.Sprintf(words.Plural(reset.Status.Users, "clearing: %d of %d user", "clearing: %d of %d users"), "初期化中：%d / %d ユーザ", reset.Status.Processed, reset.Status.Users)
	case v1alpha1.ReasonEnforcing:
		return o.Lang.Of("cleared; waiting until every sidecar enforces it: ", "初期化済み。全サイドカーへの反映を待っています：") + complete.Message
	}
	return complete.Reason + ": " + complete.Message
}

// outcome says what came of a reset.
func (o *options) outcome(reset *v1alpha1.DeviceReset) error {
	if failed := meta.FindStatusCondition(reset.Status.Conditions, v1alpha1.ConditionFailed); failed != nil && failed.Status == metav1.ConditionTrue {
		return shell.Exitf(shell.ResetFailed, "the reset failed, and nothing was freed (%s): %s", failed.Reason, failed.Message)
	}
	complete := meta.FindStatusCondition(reset.Status.Conditions, v1alpha1.ConditionComplete)
	headline := o.Lang.Of("The user was updated.", "ユーザは正常に更新されました。")
	switch {
	case complete.Reason == v1alpha1.ReasonNothingToClear:
		headline = o.Lang.Of("There was nothing to clear.", "初期化する端末認証情報はありませんでした。")
	case complete.Reason == v1alpha1.ReasonAlreadyHandled:
		headline = o.Lang.Of("This request was handled before; nothing was changed.", "この依頼は処理済みです。変更は行っていません。")
	case reset.Status.Users > 1:
		headline = o.Lang.Sprintf("%d users were updated.", "%d 件のユーザは正常に更新されました。", reset.Status.Users)
	}
	if err := o.Terminal.Printf("%s\n", o.Terminal.Paint(screen.Green, headline)); err != nil {
		return err
	}
	table := &screen.Table{}
	for i := range reset.Status.Results[:min(len(reset.Status.Results), maxShown)] {
		result := &reset.Status.Results[i]
		table.Cells(screen.Cell{Text: result.User}, screen.Cell{Text: o.Lang.Slot(result.Slot)}, o.slotOutcome(result.Outcome))
	}
	if err := o.Terminal.Print(table, ""); err != nil {
		return err
	}
	if table.Len() < len(reset.Status.Results) || reset.Status.Users > 1 {
		return o.Terminal.Printf(o.Lang.Of("cleared %d, reserved %d, nothing to clear %d, left alone %d\n",
			"初期化 %d、予約 %d、変更なし %d、対象外 %d\n"),
			reset.Status.Cleared, reset.Status.Reserved, reset.Status.NotBound+reset.Status.AlreadyHandled, reset.Status.ChangedSince)
	}
	return nil
}

// slotOutcome is 未登録 (初期化されました).
func (o *options) slotOutcome(outcome v1alpha1.SlotOutcome) screen.Cell {
	text := string(outcome)
	switch outcome {
	case v1alpha1.SlotOutcomeCleared:
		text = o.Lang.Of("Unregistered (cleared)", "未登録 (初期化されました)")
		if o.next != "" {
			text = o.Lang.Of("Reserved (cleared)", "予約済み (初期化されました)")
		}
	case v1alpha1.SlotOutcomeReserved:
		text = o.Lang.Of("Reserved", "予約済み")
	case v1alpha1.SlotOutcomeUnreserved:
		text = o.Lang.Of("Unregistered (the reservation was lifted)", "未登録 (予約は解除されました)")
	case v1alpha1.SlotOutcomeNotBound:
		text = o.Lang.Of("Unregistered (there was nothing to clear)", "未登録 (変更はありません)")
	case v1alpha1.SlotOutcomeAlreadyHandled:
		text = o.Lang.Of("unchanged (handled before)", "変更なし (処理済み)")
	case v1alpha1.SlotOutcomeChangedSince:
		text = o.Lang.Of("left alone: another device registered meanwhile", "変更なし (その間に別の端末が登録されました)")
	case v1alpha1.SlotOutcomeUserGone:
		text = o.Lang.Of("the user was deleted meanwhile", "ユーザは削除されました")
	}
	return screen.Cell{Text: text, Whole: true}
}

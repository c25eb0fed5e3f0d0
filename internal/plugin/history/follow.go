package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
)

// followFrom shows changes until ctx ends, whatever happens to the connection meanwhile.
func (o *options) followFrom(ctx context.Context, selector fields.Selector, version string, p printer) error {
	backoff := newBackoff()
	for {
		began := o.Now()
		next, err := o.watchOnce(ctx, selector, version, p)
		if next != version {
			version = next
			backoff = newBackoff()
		}
		if ctx.Err() != nil { // an interrupt is how it ends
			return nil //nolint:nilerr // what else it broke does not matter
		}
		if err := o.mend(ctx, selector, &version, err); err != nil {
			return err
		}
		if o.Now().Sub(began) < time.Second {
			pause(ctx, backoff.Step())
		}
	}
}

// mend returns an error that trying again does not mend, and tells of others.
func (o *options) mend(ctx context.Context, selector fields.Selector, version *string, err error) error {
	var broken outputError
	switch {
	case err == nil:
	case errors.As(err, &broken):
		return broken.error
	case apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) || apierrors.IsUnauthorized(err):
		return explain(err)
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
		o.Note("%s", o.Lang.Of("note: attempts of the last moments were missed", "注意：直近の接続の一部を表示できませんでした。"))
		o.skip(ctx, selector, version)
	default:
		o.Note(o.Lang.Of("note: the connection was lost, trying again: %v", "注意：接続が切れました。再接続します：%v"), err)
	}
	return nil
}

// skip goes on from now: a watch from no version could begin with all that there is.
func (o *options) skip(ctx context.Context, selector fields.Selector, version *string) {
	var list historyv1alpha1.AccessRecordList
	err := o.client.List(ctx, &list, client.InNamespace(o.Namespace), client.MatchingFieldsSelector{Selector: selector}, client.Limit(1))
	if err == nil {
		*version = list.ResourceVersion
	} // else the next watch fails as this one did
}

func newBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8, Cap: 30 * time.Second}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// outputError is an error of the reader's side: there is nobody to show more to.
type outputError struct{ error }

// watchOnce shows changes until the watch ends, and returns the version that was reached.
func (o *options) watchOnce(ctx context.Context, selector fields.Selector, version string, p printer) (string, error) {
	watcher, err := o.client.Watch(ctx, &historyv1alpha1.AccessRecordList{}, client.InNamespace(o.Namespace),
		client.MatchingFieldsSelector{Selector: selector},
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true}})
	if err != nil {
		return version, err
	}
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return version, nil
		case event, open := <-watcher.ResultChan():
			if !open {
				return version, nil
			}
			record, isRecord := event.Object.(*historyv1alpha1.AccessRecord)
			switch {
			case event.Type == watch.Error:
				return version, fmt.Errorf("watch: %w", apierrors.FromObject(event.Object))
			case !isRecord:
				continue
			case event.Type == watch.Added || event.Type == watch.Modified:
				if err := p.change(record); err != nil {
					return version, outputError{err}
				}
			}
			version = record.ResourceVersion
		}
	}
}

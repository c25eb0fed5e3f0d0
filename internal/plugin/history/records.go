package history

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// pageSize is how many records are asked for at a time, which bounds the memory however many there are.
const pageSize = 500

// printer shows records, newest first as they come.
type printer interface {
	// records shows a page.
	records(page []historyv1alpha1.AccessRecord) error
	// end shows what can be shown only when all is known. more says that there are older ones.
	end(ctx context.Context, more bool) error
	// change shows a record that is new or has changed since.
	change(record *historyv1alpha1.AccessRecord) error
}

// records shows what there is, and returns the version from which changes follow.
func (o *options) records(ctx context.Context, selector fields.Selector, p printer) (version string, err error) {
	var list historyv1alpha1.AccessRecordList
	var shown int64
	for {
		limit := int64(pageSize)
		if o.limit > 0 {
			limit = min(limit, o.limit-shown)
		}
		next := list.Continue
		list = historyv1alpha1.AccessRecordList{}
		err := o.client.List(ctx, &list, client.InNamespace(o.Namespace), client.MatchingFieldsSelector{Selector: selector},
			client.Limit(limit), client.Continue(next))
		if err != nil {
			return "", explain(err)
		}
		if version == "" {
			version = list.ResourceVersion // what has changed while later pages were read is told by the watch
		}
		if err := p.records(list.Items); err != nil {
			return "", err
		}
		shown += int64(len(list.Items))
		if full := o.limit > 0 && shown >= o.limit; full || list.Continue == "" {
			return version, p.end(ctx, list.Continue != "")
		}
	}
}

// explain tells an API that is not there from other errors.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case shell.IsAbsent(err), apierrors.IsNotFound(err):
		return shell.ErrNoHistory
	}
	return fmt.Errorf("read the access history: %w", err)
}

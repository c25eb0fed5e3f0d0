package historyserver

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
)

// usages is the resource userusages: one object a user, whatever servers there are records of.
type usages struct{ reader }

var (
	_ rest.Getter               = &usages{}
	_ rest.Lister               = &usages{}
	_ rest.SingularNameProvider = &usages{}
)

// New is an empty usage.
func (*usages) New() runtime.Object { return &v1alpha1.UserUsage{} }

// NewList is an empty list.
func (*usages) NewList() runtime.Object { return &v1alpha1.UserUsageList{} }

// GetSingularName is the name of one.
func (*usages) GetSingularName() string { return "userusage" }

// Get is the usage of one user.
func (u *usages) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	version, err := u.store.Version(ctx)
	if err != nil {
		return nil, u.failed(ctx, "read the version", err)
	}
	query := history.UsageQuery{Namespace: genericrequest.NamespaceValue(ctx), User: name}
	sums, _, err := u.sums(ctx, query, 1)
	switch {
	case err != nil:
		return nil, err
	case len(sums) == 0:
		return nil, apierrors.NewNotFound(usagesResource, name)
	}
	sums[0].ResourceVersion = formatVersion(version)
	return &sums[0], nil
}

// List is a page of usages, in the order of names.
func (u *usages) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	asked, at, limit, err := u.asked(ctx, "userusages", usageSelectors, options)
	if err != nil {
		return nil, err
	}
	list := &v1alpha1.UserUsageList{ListMeta: metav1.ListMeta{ResourceVersion: formatVersion(at.Version)}, Items: []v1alpha1.UserUsage{}}
	if asked.never {
		return list, nil
	}
	query := history.UsageQuery{Namespace: asked.Namespace, Server: asked.Server, User: asked.name, After: at.After}
	if list.Items, at.After, err = u.sums(ctx, query, limit); err != nil {
		return nil, err
	}
	for i := range list.Items {
		list.Items[i].ResourceVersion = list.ResourceVersion
	}
	if at.After != (history.UsageKey{}) {
		list.Continue, err = at.encode()
	}
	return list, err
}

// sums are the usages of at most limit users, and where the next ones begin; the zero key when there are no more.
// A user's rows follow each other, so a user is complete when another one's row is seen, or the last.
func (u *usages) sums(ctx context.Context, query history.UsageQuery, limit int) ([]v1alpha1.UserUsage, history.UsageKey, error) {
	sums := []v1alpha1.UserUsage{}
	query.Limit = min(limit+1, history.MaxPage)
	for {
		page, err := u.store.Usages(ctx, query)
		if err != nil {
			return nil, history.UsageKey{}, u.failed(ctx, "list usages", err)
		}
		for i := range page.Usages {
			row := &page.Usages[i]
			if row.User == "" {
				continue // attempts of nobody
			}
			if last := len(sums) - 1; last < 0 || sums[last].Namespace != row.Namespace || sums[last].Name != row.User {
				if len(sums) == limit {
					return sums, query.After, nil
				}
				sums = append(sums, v1alpha1.UserUsage{})
			}
			addUsage(&sums[len(sums)-1], row)
			query.After = history.UsageKey{Namespace: row.Namespace, User: row.User, Server: row.Server}
		}
		if query.After = page.Next; page.Next == (history.UsageKey{}) {
			return sums, page.Next, nil
		}
	}
}

package historyserver

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
)

var (
	recordsResource = v1alpha1.GroupVersion.WithResource("accessrecords").GroupResource()
	usagesResource  = v1alpha1.GroupVersion.WithResource("userusages").GroupResource()
)

// reader is what the resources share.
type reader struct {
	store  history.Store
	now    func() time.Time
	clocks *clocks
	log    logr.Logger
}

// Destroy leaves the Store to who has opened it.
func (*reader) Destroy() {}

// NamespaceScoped is true: what is read is where its RelayServer is.
func (*reader) NamespaceScoped() bool { return true }

// failed is the answer when the Store fails. Its words are for the log: they may tell of the database.
func (r *reader) failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return apierrors.NewTimeoutError("the store of records did not answer in time", 1)
	}
	r.log.Error(err, "The store failed", "doing", doing)
	return unavailable()
}

func unavailable() error {
	err := apierrors.NewServiceUnavailable("the store of records does not answer")
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return err
}

// records is the resource accessrecords.
type records struct {
	reader
	watches       *places // by who watches
	bookmarkEvery time.Duration
	metrics       *metrics
}

var (
	_ rest.Getter               = &records{}
	_ rest.Lister               = &records{}
	_ rest.Watcher              = &records{}
	_ rest.ShortNamesProvider   = &records{}
	_ rest.SingularNameProvider = &records{}
)

// New is an empty record.
func (*records) New() runtime.Object { return &v1alpha1.AccessRecord{} }

// NewList is an empty list.
func (*records) NewList() runtime.Object { return &v1alpha1.AccessRecordList{} }

// GetSingularName is the name of one.
func (*records) GetSingularName() string { return "accessrecord" }

// ShortNames are what may be typed instead.
func (*records) ShortNames() []string { return []string{"arec"} }

// Get is one record.
func (r *records) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	id, ok := parseName(name)
	if !ok {
		return nil, apierrors.NewNotFound(recordsResource, name)
	}
	version, err := r.store.Version(ctx)
	if err != nil {
		return nil, r.failed(ctx, "read the version", err)
	}
	kept, err := r.store.Get(ctx, genericrequest.NamespaceValue(ctx), id)
	switch {
	case errors.Is(err, history.ErrNotFound):
		return nil, apierrors.NewNotFound(recordsResource, name)
	case err != nil:
		return nil, r.failed(ctx, "get a record", err)
	}
	record := toAPI(&kept, formatVersion(version))
	return &record, nil
}

// List is a page of records, newest first.
func (r *records) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	asked, at, limit, err := r.asked(ctx, "accessrecords", recordSelectors, options)
	if err != nil {
		return nil, err
	}
	page, err := r.page(ctx, asked, at.Before, limit)
	if err != nil {
		return nil, err
	}
	return toList(page, at)
}

// asked is what a list asks for: what is selected, where its page begins, and how many there are on it at most.
func (r *reader) asked(ctx context.Context, resource string, from selectors, options *metainternalversion.ListOptions) (*selected, *token, int, error) {
	if options == nil {
		options = &metainternalversion.ListOptions{}
	}
	namespace := genericrequest.NamespaceValue(ctx)
	asked, err := from.parse(namespace, options, r.now())
	if err != nil {
		return nil, nil, 0, err
	}
	at, err := r.begin(ctx, request(resource, namespace, options), options)
	if err != nil {
		return nil, nil, 0, err
	}
	if options.Continue != "" {
		asked.Since, asked.Until = at.Since, at.Until
	}
	at.Since, at.Until = asked.Since, asked.Until
	return asked, at, pageSize(options), nil
}

// begin is where the page begins that a list asks for.
func (r *reader) begin(ctx context.Context, request []byte, options *metainternalversion.ListOptions) (*token, error) {
	if options.Continue != "" {
		return decodeToken(options.Continue, request)
	}
	// The version is read first: what changes while the records are read is told again by a watch from there.
	version, err := r.store.Version(ctx)
	if err != nil {
		return nil, r.failed(ctx, "read the version", err)
	}
	return &token{Request: request, Version: version}, checkVersion(options, version)
}

// page reads the page of what is asked for.
func (r *records) page(ctx context.Context, asked *selected, before history.Position, limit int) (history.Page, error) {
	switch {
	case asked.never:
		return history.Page{}, nil
	case asked.ID != history.ID{}:
		return r.only(ctx, asked)
	}
	start := time.Now()
	page, err := r.store.List(ctx, history.Query{Filter: asked.Filter, Before: before, Limit: limit})
	if err != nil {
		return history.Page{}, r.failed(ctx, "list records", err)
	}
	r.metrics.listed(asked.Indexed(), time.Since(start))
	return page, nil
}

// only is the page of the one record that is asked for by its name. Without a namespace there is none to be had: an
// id is one of its namespace.
func (r *records) only(ctx context.Context, asked *selected) (history.Page, error) {
	if asked.Namespace == "" {
		return history.Page{}, apierrors.NewBadRequest("field selector: metadata.name needs a namespace")
	}
	kept, err := r.store.Get(ctx, asked.Namespace, asked.ID)
	switch {
	case errors.Is(err, history.ErrNotFound) || err == nil && !asked.matches(&kept):
		return history.Page{}, nil
	case err != nil:
		return history.Page{}, r.failed(ctx, "get a record", err)
	}
	return history.Page{Records: []history.Record{kept}}, nil
}

func toList(page history.Page, at *token) (*v1alpha1.AccessRecordList, error) {
	version := formatVersion(at.Version)
	list := &v1alpha1.AccessRecordList{Items: make([]v1alpha1.AccessRecord, len(page.Records))}
	list.ResourceVersion = version
	for i := range page.Records {
		list.Items[i] = toAPI(&page.Records[i], version)
	}
	if page.Next == (history.Position{}) {
		return list, nil
	}
	at.Before = page.Next
	var err error
	list.Continue, err = at.encode()
	return list, err
}

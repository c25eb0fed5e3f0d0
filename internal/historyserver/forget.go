package historyserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
)

// maxDeleteBody bounds what asks to erase.
const maxDeleteBody = 64 << 10

// withForget serves the verb deletecollection on accessrecords, after the caller was authorized. The library serves
// that verb only together with delete, and a kind that says that it can be deleted is deleted: with its namespace,
// and by a garbage collector that first reads every record there is.
func withForget(next http.Handler, r *records, codecs runtime.NegotiatedSerializer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericrequest.RequestInfoFrom(req.Context())
		if !ok || info.Verb != "deletecollection" || info.APIGroup != v1alpha1.GroupVersion.Group ||
			info.APIVersion != v1alpha1.GroupVersion.Version || info.Resource != recordsResource.Resource || info.Subresource != "" {
			next.ServeHTTP(w, req)
			return
		}
		core := schema.GroupVersion{Version: "v1"}
		status, err := r.forgetRequest(genericrequest.WithNamespace(req.Context(), info.Namespace), req)
		if err != nil {
			responsewriters.ErrorNegotiated(err, codecs, core, w, req)
			return
		}
		responsewriters.WriteObjectNegotiated(codecs, negotiation.DefaultEndpointRestrictions, core, w, req, http.StatusOK, status, false)
	})
}

func (r *records) forgetRequest(ctx context.Context, req *http.Request) (runtime.Object, error) {
	var list metainternalversion.ListOptions
	var query metav1.DeleteOptions
	for _, into := range []runtime.Object{&list, &query} {
		if err := metainternalversionscheme.ParameterCodec.DecodeParameters(req.URL.Query(), metav1.SchemeGroupVersion, into); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, req.Body, maxDeleteBody))
	if err != nil {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the body may have %d bytes", maxDeleteBody))
	}
	var options metav1.DeleteOptions
	if len(body) > 0 {
		if err := json.Unmarshal(body, &options); err != nil {
			return nil, apierrors.NewBadRequest("the body is no DeleteOptions in JSON")
		}
	}
	options.DryRun = append(options.DryRun, query.DryRun...)
	return r.forget(ctx, &options, &list)
}

// forgetHelp is told where somebody asks to erase anything else than one user's records.
const forgetHelp = "records are erased by user: give the field selector user=NAME, and userName=LOGINNAME for attempts under that login name"

// forget erases what is kept of one user.
func (r *records) forget(ctx context.Context, options *metav1.DeleteOptions, list *metainternalversion.ListOptions) (runtime.Object, error) {
	who, err := r.personOf(ctx, list)
	switch {
	case err != nil:
		return nil, err
	case len(options.DryRun) > 0:
		return nil, apierrors.NewBadRequest("a dry run cannot be made of erasing records; list them instead")
	case options.Preconditions != nil:
		return nil, apierrors.NewBadRequest("records are erased without preconditions")
	}
	erased, err := r.store.Forget(ctx, who, r.clocks.theirs())
	if err != nil {
		return nil, r.failed(ctx, "forget a user", err)
	}
	r.metrics.forgot(erased)
	r.log.Info("A user was forgotten", "namespace", who.Namespace, "records", erased)
	return &metav1.Status{
		Status: metav1.StatusSuccess, Code: http.StatusOK, Message: fmt.Sprintf("%d records erased", erased),
		Details: &metav1.StatusDetails{Group: v1alpha1.GroupVersion.Group, Kind: "AccessRecord"},
	}, nil
}

// personOf is who is to be forgotten. Whatever else is selected would be erased with it, or be taken for erased.
func (r *records) personOf(ctx context.Context, list *metainternalversion.ListOptions) (history.Person, error) {
	namespace := genericrequest.NamespaceValue(ctx)
	asked, err := recordSelectors.parse(namespace, list, r.now())
	if err != nil {
		return history.Person{}, err
	}
	who := history.Person{Namespace: namespace, User: asked.User, UserName: asked.UserName}
	only := selected{Filter: history.Filter{Namespace: namespace, User: who.User, UserName: who.UserName}}
	if namespace == "" || who.User == "" || *asked != only || list.Limit != 0 || list.Continue != "" {
		return history.Person{}, apierrors.NewBadRequest(forgetHelp)
	}
	return who, nil
}

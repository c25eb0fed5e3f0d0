package shell

import (
	"errors"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

// Hints for errors that a person can do something about.
const (
	hintForbidden = "ask whoever administers the cluster for the right that is named above; " +
		"docs/kubectl-relay.md lists what each verb needs, and kubectl relay doctor what you have"
	hintNotInstalled = "Tegata is not installed in this cluster, or an older version is: as the cluster's administrator, " +
		"kubectl apply --server-side -k config/crd"
	hintNoHistory = "the access-history server is not installed in this cluster: see docs/history.md#install-it; " +
		"the newest failures of a user are in its status: kubectl relay why USER"
	hintUnavailable  = "the API server cannot reach what serves this: kubectl relay doctor"
	hintUnauthorized = "the cluster does not know you: log in again, or choose another --context"
	hintUnreachable  = "is this the right cluster? kubectl config current-context says which one is asked"
	hintNobody       = "give --yes where nobody can be asked"
)

// ErrNoHistory says that the cluster has no access history.
var ErrNoHistory = errors.New("this cluster has no access history (" + HistoryGroup + ")")

// HistoryGroup is the API group of the access history.
const HistoryGroup = "history.tegata.dev"

// IsAbsent says whether an API is not there: the server does not know the kind.
func IsAbsent(err error) bool {
	var noKind *meta.NoKindMatchError
	var noResource *meta.NoResourceMatchError
	return errors.As(err, &noKind) || errors.As(err, &noResource)
}

// hintFor says what to do about an error; it is empty where there is nothing to say.
func hintFor(err error) string {
	var noMatch *meta.NoKindMatchError
	var noResource *meta.NoResourceMatchError
	switch {
	case errors.Is(err, ErrNoHistory):
		return hintNoHistory
	case errors.As(err, &noMatch):
		return hintForGroup(noMatch.GroupKind.Group)
	case errors.As(err, &noResource):
		return hintForGroup(noResource.PartialResource.Group)
	case apierrors.IsForbidden(err) && !isInvalidByPolicy(err):
		return hintForbidden
	case apierrors.IsUnauthorized(err):
		return hintUnauthorized
	case apierrors.IsServiceUnavailable(err):
		return hintUnavailable
	case errors.Is(err, screen.ErrNobody):
		return hintNobody
	case clientcmd.IsEmptyConfig(err) || isUnreachable(err):
		return hintUnreachable
	}
	return ""
}

func hintForGroup(g string) string {
	switch g {
	case HistoryGroup:
		return hintNoHistory
	case v1alpha1.GroupVersion.Group:
		return hintNotInstalled
	}
	return ""
}

// isInvalidByPolicy tells an admission policy's refusal, which says itself what to change, from RBAC's.
func isInvalidByPolicy(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && len(status.Status().Details.Causes) > 0
}

func isUnreachable(err error) bool {
	var address *net.OpError
	var request *url.Error
	return errors.As(err, &address) || errors.As(err, &request)
}

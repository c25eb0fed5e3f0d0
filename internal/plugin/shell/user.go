package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/loginname"
)

// pageSize is how many users are listed at a time.
const pageSize = 500

// FindUser finds a RelayUser by its name, else by the login name that the person types.
func (s *Shell) FindUser(ctx context.Context, c client.Reader, name string) (*v1alpha1.RelayUser, error) {
	if len(validation.IsDNS1123Subdomain(name)) == 0 {
		user := &v1alpha1.RelayUser{}
		err := c.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, user)
		if !apierrors.IsNotFound(err) {
			return user, wrap(err, "get relayuser %s", name)
		}
	}
	return s.findByLoginName(ctx, c, name)
}

// findByLoginName compares as the sidecars do: case and width do not matter.
func (s *Shell) findByLoginName(ctx context.Context, c client.Reader, name string) (*v1alpha1.RelayUser, error) {
	notFound := Exitf(NotFound, "no RelayUser in namespace %s has the name or the login name %q; kubectl get relayusers -n %s lists them",
		s.Namespace, name, s.Namespace)
	wanted, err := loginname.Normalize(name)
	if err != nil {
		return nil, notFound
	}
	var found []*v1alpha1.RelayUser
	err = s.EachUser(ctx, c, func(user *v1alpha1.RelayUser) error {
		if login, err := loginname.Normalize(user.LoginName()); err == nil && login == wanted {
			found = append(found, user)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, notFound
	case len(found) > 1:
		return nil, fmt.Errorf("%q is the login name of several RelayUsers: name one of %s", name, names(found))
	}
	return found[0], nil
}

func names(users []*v1alpha1.RelayUser) string {
	var all []string
	for _, user := range users {
		all = append(all, user.Name+" (of server "+user.Spec.ServerRef.Name+")")
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// EachUser calls do with each user of the namespace, page by page.
func (s *Shell) EachUser(ctx context.Context, c client.Reader, do func(*v1alpha1.RelayUser) error, options ...client.ListOption) error {
	var list v1alpha1.RelayUserList
	for {
		page := append([]client.ListOption{
			client.InNamespace(s.Namespace), client.Limit(pageSize), client.Continue(list.Continue),
		}, options...)
		list = v1alpha1.RelayUserList{}
		if err := c.List(ctx, &list, page...); err != nil {
			return wrap(err, "list relayusers in namespace %s", s.Namespace)
		}
		for i := range list.Items {
			if err := do(&list.Items[i]); err != nil {
				return err
			}
		}
		if list.Continue == "" {
			return nil
		}
	}
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// gitOps are the marks that tools leave on what they keep as Git has it.
var gitOps = map[string]string{
	"argocd.argoproj.io/tracking-id":    "Argo CD",
	"argocd.argoproj.io/instance":       "Argo CD",
	"kustomize.toolkit.fluxcd.io/name":  "Flux",
	"helm.toolkit.fluxcd.io/name":       "Flux",
	"meta.helm.sh/release-name":         "Helm",
	"configsync.gke.io/declared-fields": "Config Sync",
	"config.k8s.io/owning-inventory":    "a GitOps tool",
	"fleet.cattle.io/bundle-id":         "Fleet",
	"kapp.k14s.io/app":                  "kapp",
}

// NoteGit tells that a field has to be changed in Git too, when a tool keeps the object as Git has it: it would
// be changed back.
func (s *Shell) NoteGit(object client.Object, field string) {
	if tool := keeper(object); tool != "" {
		s.Note(s.Lang.Of(
			"note: %s keeps %s as Git has it: set %s in Git too, or it will be changed back",
			"注意：%s が %s を Git の内容に保っています。Git でも %s を設定してください。設定しないと元に戻されます。"),
			tool, object.GetName(), field)
	}
}

// NoteGitRemoval tells that an object has to be removed from Git too: it would be made anew.
func (s *Shell) NoteGitRemoval(object client.Object) {
	if tool := keeper(object); tool != "" {
		s.Note(s.Lang.Of(
			"note: %s keeps %s as Git has it: remove it from Git too, or it will be made anew",
			"注意：%s が %s を Git の内容に保っています。Git からも削除してください。削除しないと再作成されます。"),
			tool, object.GetName())
	}
}

// keeper is the tool that keeps an object as Git has it, empty for none.
func keeper(object client.Object) string {
	for mark, tool := range gitOps {
		_, label := object.GetLabels()[mark]
		_, annotation := object.GetAnnotations()[mark]
		if label || annotation {
			return tool
		}
	}
	return ""
}

package shell

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// completionTimeout is how long a person who has pressed Tab waits, and maxCompletions how many names are of use.
const (
	completionTimeout = 3 * time.Second
	maxCompletions    = 200
)

// CompleteUser proposes RelayUsers for the first argument.
func (s *Shell) CompleteUser(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.completeNames("RelayUserList", prefix), cobra.ShellCompDirectiveNoFileComp
}

// CompleteServer proposes RelayServers.
func (s *Shell) CompleteServer(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.completeNames("RelayServerList", prefix), cobra.ShellCompDirectiveNoFileComp
}

// CompleteWords proposes fixed words, also behind a comma.
func CompleteWords(choices ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		before := ""
		if comma := strings.LastIndexByte(prefix, ','); comma >= 0 {
			before, prefix = prefix[:comma+1], prefix[comma+1:]
		}
		var matching []string
		for _, choice := range choices {
			if strings.HasPrefix(choice, prefix) {
				matching = append(matching, before+choice)
			}
		}
		return matching, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNames lists names. Whatever goes wrong, there is nothing to propose: a completion shows no errors.
func (s *Shell) completeNames(kind, prefix string) []string {
	if s.Prepare() != nil {
		return nil
	}
	c, err := s.Client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	var found []string
	for {
		err := c.List(ctx, list, client.InNamespace(s.Namespace), client.Limit(pageSize), client.Continue(list.Continue))
		if err != nil {
			return found
		}
		for i := range list.Items {
			if name := list.Items[i].Name; strings.HasPrefix(name, prefix) {
				found = append(found, name)
			}
		}
		if list.Continue == "" || len(found) >= maxCompletions {
			return found
		}
	}
}

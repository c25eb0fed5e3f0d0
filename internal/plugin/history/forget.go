package history

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
	"github.com/tegata-dev/tegata/internal/plugin/words"
)

// forgetting erases what is kept of a person.
type forgetting struct {
	*shell.Shell
	who         string
	yes, dryRun bool
}

func forgetCommand(s *shell.Shell) *cobra.Command {
	f := &forgetting{Shell: s}
	cmd := &cobra.Command{
		Use: "forget USER", Short: "Erase the access history of a person",
		Long: "Erases every record of a person, for good, and the totals with them. The RelayUser stays.\n" +
			"It asks for the name to be typed, unless --yes is given.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: s.CompleteUser, RunE: s.Run(f),
	}
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "Do not ask")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "Say how many there are, and erase nothing")
	return cmd
}

// Complete takes the name.
func (f *forgetting) Complete(args []string) error {
	f.who = args[0]
	return nil
}

// Validate has nothing to refuse.
func (f *forgetting) Validate() error { return nil }

// Run counts, asks and erases.
func (f *forgetting) Run(ctx context.Context) error {
	c, err := f.Client()
	if err != nil {
		return err
	}
	person, err := f.person(ctx, c)
	if err != nil {
		return err
	}
	count, err := f.count(ctx, c, person)
	if err != nil {
		return err
	}
	name := person[fieldUser]
	if err := f.Terminal.Printf("%s\n", screen.Clean(f.Lang.Sprintf(words.Plural(count, "%s: %d record is kept.", "%s: %d records are kept."), "%s：%d 件の記録があります。", name, count))); err != nil {
		return err
	}
	if count == 0 || f.dryRun {
		return nil
	}
	if err := f.confirm(ctx, name); err != nil {
		return err
	}
	err = c.DeleteAllOf(ctx, &historyv1alpha1.AccessRecord{}, client.InNamespace(f.Namespace), client.MatchingFields(person))
	if err != nil {
		return explain(err)
	}
	return f.Terminal.Printf("%s\n", screen.Clean(f.Lang.Sprintf("The access history of %s is erased.", "%s のアクセス履歴を消去しました。", name)))
}

// person is whose records are erased. What was typed as the name of somebody who is no user is nobody else's, so it
// goes with them; a user's login name may be that of another server's user, whose records stay.
func (f *forgetting) person(ctx context.Context, c client.Reader) (fields.Set, error) {
	user, err := f.FindUser(ctx, c, f.who)
	switch {
	case err == nil:
		return fields.Set{fieldUser: user.Name}, nil
	case shell.CodeOf(err) == shell.NotFound:
		return fields.Set{fieldUser: f.who, fieldUserName: f.who}, nil
	case apierrors.IsForbidden(err):
		return fields.Set{fieldUser: f.who}, nil
	}
	return nil, err
}

// count is how many records there are of any of the names.
func (f *forgetting) count(ctx context.Context, c client.Client, person fields.Set) (int64, error) {
	var count int64
	for _, key := range []string{fieldUser, fieldUserName} {
		if person[key] == "" {
			continue
		}
		err := f.each(ctx, c, client.MatchingFields{key: person[key]}, func(r *historyv1alpha1.AccessRecord) {
			if key == fieldUser || r.User != person[fieldUser] { // counted already
				count++
			}
		})
		if err != nil {
			return 0, err
		}
	}
	return count, nil
}

func (f *forgetting) each(ctx context.Context, c client.Client, selector client.ListOption, do func(*historyv1alpha1.AccessRecord)) error {
	var list historyv1alpha1.AccessRecordList
	for {
		next := list.Continue
		list = historyv1alpha1.AccessRecordList{}
		if err := c.List(ctx, &list, client.InNamespace(f.Namespace), selector, client.Limit(pageSize), client.Continue(next)); err != nil {
			return explain(err)
		}
		for i := range list.Items {
			do(&list.Items[i])
		}
		if list.Continue == "" {
			return nil
		}
	}
}

func (f *forgetting) confirm(ctx context.Context, name string) error {
	if f.yes {
		return nil
	}
	question := f.Lang.Of("They cannot be brought back. Type the name to erase them: ", "元に戻すことはできません。消去するにはユーザ名を入力してください：")
	answer, err := screen.Ask(ctx, f.In, f.ErrOut, question)
	switch {
	case errors.Is(err, screen.ErrNobody):
		return shell.Usage(err)
	case err != nil:
		return err
	case answer != name && answer != f.who:
		return shell.Exitf(shell.Declined, "that is not the name: nothing was erased")
	}
	return nil
}

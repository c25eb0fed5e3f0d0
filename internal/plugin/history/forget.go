package history

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
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
	key, name, err := whose(ctx, f.Shell, c, f.who)
	if err != nil {
		return err
	}
	selector := client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector(key, name)}
	count, err := f.count(ctx, c, key, name, selector)
	if err != nil {
		return err
	}
	shown := screen.Clean(name)
	if err := f.Terminal.Printf(f.Lang.Of("%s: %d records are kept.\n", "%s：%d 件の記録があります。\n"), shown, count); err != nil {
		return err
	}
	if count == 0 || f.dryRun {
		return nil
	}
	if err := f.confirm(name); err != nil {
		return err
	}
	err = c.DeleteAllOf(ctx, &historyv1alpha1.AccessRecord{}, client.InNamespace(f.Namespace), selector)
	if err != nil {
		return explain(err)
	}
	return f.Terminal.Printf(f.Lang.Of("The access history of %s is erased.\n", "%s のアクセス履歴を消去しました。\n"), shown)
}

// count is how many records there are. The usage knows it of a RelayUser; others are counted.
func (f *forgetting) count(ctx context.Context, c client.Client, key, name string, selector client.ListOption) (int64, error) {
	var usage historyv1alpha1.UserUsage
	if key == "user" && c.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: name}, &usage) == nil {
		return usage.Attempts, nil
	}
	var list historyv1alpha1.AccessRecordList
	var count int64
	for {
		next := list.Continue
		list = historyv1alpha1.AccessRecordList{}
		if err := c.List(ctx, &list, client.InNamespace(f.Namespace), selector, client.Limit(pageSize), client.Continue(next)); err != nil {
			return 0, explain(err)
		}
		count += int64(len(list.Items))
		if list.Continue == "" {
			return count, nil
		}
	}
}

func (f *forgetting) confirm(name string) error {
	if f.yes {
		return nil
	}
	question := f.Lang.Of("They cannot be brought back. Type the name to erase them: ", "元に戻すことはできません。消去するにはユーザ名を入力してください：")
	answer, err := screen.Ask(f.In, f.ErrOut, question)
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

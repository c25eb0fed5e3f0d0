package plugin

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// shownAlways are the flags of kubectl's own that each verb's help has.
var shownAlways = []string{"namespace", "context", "kubeconfig"}

// shortenHelp leaves the rest of kubectl's own flags out of each verb's help, as kubectl does: two dozen lines that
// everybody knows would hide the five that are looked for. They are only hidden while the help is written, so that
// completion proposes them.
func shortenHelp(root *cobra.Command) {
	kubectls := pflag.NewFlagSet("", pflag.ContinueOnError)
	genericclioptions.NewConfigFlags(true).AddFlags(kubectls)
	hide := func(hidden bool) {
		kubectls.VisitAll(func(f *pflag.Flag) {
			if !slices.Contains(shownAlways, f.Name) {
				root.PersistentFlags().Lookup(f.Name).Hidden = hidden
			}
		})
	}
	usage := root.UsageFunc()
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		hide(true)
		defer hide(false)
		if err := usage(cmd); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStderr(), "\nUse \"%s options\" for kubectl's own flags, which every verb takes.\n", root.DisplayName())
		return err
	})
}

func optionsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "options", Short: "List kubectl's own flags, which every verb takes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), "These go with every verb:\n\n", cmd.Root().PersistentFlags().FlagUsages())
			return err
		},
	}
}

// Package plugin is the command `kubectl relay`: it puts the verbs together, each of which is a package below.
//
// It holds nothing of a verb. Package shell has what verbs share, screen what reaches the terminal, and words the
// languages.
package plugin

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tegata-dev/tegata/internal/plugin/doctor"
	"github.com/tegata-dev/tegata/internal/plugin/history"
	"github.com/tegata-dev/tegata/internal/plugin/passwd"
	"github.com/tegata-dev/tegata/internal/plugin/reset"
	"github.com/tegata-dev/tegata/internal/plugin/sessions"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
	"github.com/tegata-dev/tegata/internal/plugin/suspend"
	"github.com/tegata-dev/tegata/internal/plugin/users"
	"github.com/tegata-dev/tegata/internal/plugin/why"
)

const long = `Administers the users of remote-access relays: who connected and why not, and what lets them in again.

Exit codes: 0 done, 1 error, 2 wrong usage, 3 declined, 4 the reset failed, 5 not finished in time, 6 not found;
of why: 7 a reset helps, 8 something else does; of doctor: 9 something is to be mended.`

// completer is the name under which kubectl asks for completions of the plugin's arguments.
const completer = "kubectl_complete-relay"

// Main runs the command with the arguments of the process, the first of which is its own name, and returns the exit
// code.
func Main(ctx context.Context, streams genericiooptions.IOStreams, version string, arguments []string) int {
	root := Command(shell.New(streams), version)
	name := strings.TrimSuffix(filepath.Base(arguments[0]), ".exe")
	rest := arguments[1:]
	if name == completer {
		rest = append([]string{cobra.ShellCompRequestCmd}, rest...)
	}
	root.SetArgs(rest)
	err := root.ExecuteContext(ctx)
	if _, _, unknown := root.Find(rest); unknown != nil && err != nil {
		err = shell.Usage(fmt.Errorf("%s\n%s --help lists the verbs", strings.TrimSpace(err.Error()), root.DisplayName()))
	}
	return int(shell.Report(streams.ErrOut, err))
}

// Command is `kubectl relay` with its verbs.
func Command(s *shell.Shell, version string) *cobra.Command {
	root := &cobra.Command{
		Use: "kubectl-relay", Short: "Administer the users of remote-access relays", Long: long, Version: version,
		Annotations:  map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl relay"},
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.ErrOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return shell.Usage(fmt.Errorf("%w; %s --help lists the flags", err, cmd.CommandPath()))
	})
	s.AddFlags(root)
	root.AddCommand(
		history.Command(s), why.Command(s), reset.Command(s), passwd.Command(s), suspend.Command(s), suspend.ResumeCommand(s),
		sessions.Command(s), users.Command(s), doctor.Command(s), optionsCommand(),
	)
	shortenHelp(root)
	forEach(root, func(cmd *cobra.Command) {
		if check := cmd.Args; check != nil {
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return shell.Usage(fmt.Errorf("%w; it is: %s", err, cmd.UseLine()))
				}
				return nil
			}
		}
	})
	return root
}

func forEach(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, child := range cmd.Commands() {
		forEach(child, do)
	}
}

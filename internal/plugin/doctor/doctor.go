// Package doctor is `kubectl relay doctor`: what is installed, reachable and permitted, whether clocks agree, and what
// servers, sidecars and users say of themselves.
//
// It changes nothing, and looks only where the reader may: what it may not see it says so, and goes on. It speaks
// English in both languages, as errors do.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// Level is how a finding is meant.
type Level string

// The levels. Only a Problem makes the exit code one.
const (
	OK      Level = "ok"
	Unknown Level = "unknown"
	Warning Level = "warning"
	Problem Level = "problem"
)

// Finding is what one check found.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	// Fix is what to do about it.
	Fix string `json:"fix,omitempty"`
}

type options struct {
	*shell.Shell
	output string

	client    client.Client
	discovery discovery.DiscoveryInterface
	// clock is the API server's time, once it is known.
	clock time.Time

	findings []Finding
}

// Command is the verb.
func Command(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check what is installed, reachable and permitted, and what is wrong",
		Example: "  kubectl relay doctor -n relays", Args: cobra.NoArgs, RunE: s.Run(o),
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "Format: text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", shell.CompleteWords("text", "json")) // the flag is above
	return cmd
}

// Complete has nothing to read.
func (o *options) Complete([]string) error { return nil }

// Validate knows two formats.
func (o *options) Validate() error {
	if o.output != "text" && o.output != "json" {
		return fmt.Errorf("--output is %q: it must be text or json", o.output)
	}
	return nil
}

// Run checks one thing after the other. Without an API server there is nothing else to look at.
func (o *options) Run(ctx context.Context) error {
	config, err := o.Config()
	if err != nil {
		return err
	}
	if o.discovery, err = discovery.NewDiscoveryClientForConfig(config); err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	if o.checkAPIServer() {
		o.checkClock(ctx)
		if o.checkKinds() {
			if o.client, err = o.Client(); err != nil {
				return err
			}
			o.checkCRDs(ctx)
			o.checkPolicies(ctx)
			o.checkInjection(ctx)
			o.checkManager(ctx)
			o.checkManagerPods(ctx)
			o.checkAlerts(ctx)
			o.checkHistory(ctx)
			o.checkRights(ctx)
			o.checkServers(ctx)
			o.checkSidecars(ctx)
			o.checkUsers(ctx)
		}
	}
	if err := o.print(); err != nil {
		return err
	}
	for _, f := range o.findings {
		if f.Level == Problem {
			return shell.Exit(shell.Unhealthy, nil)
		}
	}
	return nil
}

func (o *options) found(check string, level Level, fix, format string, args ...any) {
	o.findings = append(o.findings, Finding{check, level, fmt.Sprintf(format, args...), fix})
}

func (o *options) print() error {
	if o.output == "json" {
		line, err := screen.JSON(map[string]any{"namespace": o.Namespace, "findings": o.findings})
		if err != nil {
			return err
		}
		_, err = o.Terminal.Writer().Write(line)
		return err
	}
	colours := map[Level]screen.Colour{OK: screen.Green, Warning: screen.Yellow, Problem: screen.Red}
	table := &screen.Table{}
	for _, f := range o.findings {
		text := f.Message
		if f.Fix != "" {
			text += " -> " + f.Fix
		}
		table.Cells(screen.Cell{Text: string(f.Level), Colour: colours[f.Level]}, screen.Cell{Text: f.Check}, screen.Cell{Text: text, Whole: true})
	}
	return o.Terminal.Print(table, "")
}

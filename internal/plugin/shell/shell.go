// Package shell is what every verb of the plugin has: streams, language, zone and clock, the connection to the
// cluster, how users are found, how errors are explained, and the exit codes.
//
// It holds nothing of a single verb, and verbs do not import each other.
package shell

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/words"
)

// FieldOwner is the field manager of what the plugin writes.
const FieldOwner = "kubectl-relay"

// Shell is what a verb works with. Lang, Terminal, Namespace and Zone are set when flags have been read.
type Shell struct {
	genericiooptions.IOStreams
	Flags  *genericclioptions.ConfigFlags
	Getenv func(string) string
	Now    func() time.Time
	Zone   *time.Location
	// Connect makes the client; nil for one of the cluster that the flags name.
	Connect func() (client.WithWatch, error)

	Lang     words.Lang
	Terminal *screen.Terminal
	// Namespace is the one that was chosen; ExplicitNamespace says that it was by a flag.
	Namespace         string
	ExplicitNamespace bool

	lang   string
	config *rest.Config
}

// New is a shell of this process.
func New(streams genericiooptions.IOStreams) *Shell {
	return &Shell{
		IOStreams: streams, Flags: genericclioptions.NewConfigFlags(true),
		Getenv: os.Getenv, Now: time.Now, Zone: time.Local,
	}
}

// AddFlags adds what each verb understands: kubectl's own flags, and --lang.
func (s *Shell) AddFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	s.Flags.AddFlags(flags)
	flags.StringVar(&s.lang, "lang", "auto", "Language of what is shown: en, ja, or auto for what LC_ALL, LC_MESSAGES or LANG say")
}

// Prepare reads the flags and the environment. It asks the cluster nothing.
func (s *Shell) Prepare() error {
	var err error
	if s.Lang, err = words.Parse(s.lang, s.Getenv); err != nil {
		return Usage(err)
	}
	s.Terminal = screen.NewTerminal(s.Out, s.Getenv)
	loader := s.Flags.ToRawKubeConfigLoader()
	if s.Namespace, s.ExplicitNamespace, err = loader.Namespace(); err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	return nil
}

// Local is a time in the reader's zone.
func (s *Shell) Local(t time.Time) time.Time { return t.In(s.Zone) }

// Config is the connection that the flags and the kubeconfig name.
func (s *Shell) Config() (*rest.Config, error) {
	if s.config == nil {
		config, err := s.Flags.ToRESTConfig()
		if err != nil {
			return nil, fmt.Errorf("read the kubeconfig: %w", err)
		}
		// A person waits for each verb, and import asks once for each line: no limit but the server's own.
		config.QPS = -1
		config.WarningHandlerWithContext = warnings{s}
		s.config = config
	}
	return s.config, nil
}

// Client reads from and writes to the API server, without a cache.
func (s *Shell) Client() (client.WithWatch, error) {
	if s.Connect != nil {
		return s.Connect()
	}
	config, err := s.Config()
	if err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return c, nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, historyv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// warnings shows what the API server warns of, as kubectl does.
type warnings struct{ shell *Shell }

// HandleWarningHeaderWithContext shows one warning.
func (w warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.shell.Note("%s", w.shell.Lang.Of("Warning: ", "警告：")+text)
}

// Note tells the reader something beside the output, cleaned. Formats hold no line break.
func (s *Shell) Note(format string, args ...any) {
	_, _ = fmt.Fprintln(s.ErrOut, screen.Clean(fmt.Sprintf(format, args...))) // a stream that is closed stops nothing
}

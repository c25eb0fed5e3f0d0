package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// version is set by the linker.
var version = "dev"

type options struct {
	kubeconfig string
	namespaces []string

	metricsAddress string
	metricsCertDir string
	probeAddress   string

	leaderElect             bool
	leaderElectionNamespace string

	logLevel    string
	showVersion bool
}

const usage = `manager is Tegata's operator.

It keeps the keys, credentials and permissions that the sidecars of each RelayServer need, says in the
conditions of each RelayUser whether it can be used, and carries DeviceResets out. Several may run: one
leads, the others stand by.

Usage:
  manager [flags]

Flags:
`

// usageWidth is how wide the help text is.
const usageWidth = 100

func parseOptions(args []string) (*options, error) {
	o := &options{}
	fs := pflag.NewFlagSet("manager", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() { fmt.Print(usage, fs.FlagUsagesWrapped(usageWidth)) }

	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "path of a kubeconfig; without it, KUBECONFIG or the pod's service account")
	fs.StringSliceVar(&o.namespaces, "namespace", nil, "namespace to work in, may be given more than once; without it, all (the manager's ClusterRole is then to be bound in the whole cluster)")

	fs.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "address at which /metrics is served by HTTPS to those whom the API server authenticates and permits; 0 for none")
	fs.StringVar(&o.metricsCertDir, "metrics-cert-dir", "", "directory with tls.crt and tls.key for /metrics, read again when they change; without it, a self-signed certificate")
	fs.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "address at which /healthz and /readyz are served; 0 for none")

	fs.BoolVar(&o.leaderElect, "leader-elect", true, "work only while holding the Lease tegata-manager, so that several managers may run")
	fs.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "", "namespace of that Lease; without it, the pod's own")

	fs.StringVar(&o.logLevel, "log-level", "info", "debug, info or error")
	fs.BoolVar(&o.showVersion, "version", false, "print the version and exit")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			os.Exit(0) // pflag has printed the help
		}
		return nil, fmt.Errorf("%w; see --help", err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see --help", fs.Arg(0))
	}
	if o.showVersion {
		return o, nil
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	return o, nil
}

func (o *options) validate() error {
	if o.logLevel != "debug" && o.logLevel != "info" && o.logLevel != "error" {
		return errors.New("--log-level must be debug, info or error")
	}
	for _, namespace := range o.namespaces {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			return fmt.Errorf("--namespace %q: %s", namespace, strings.Join(problems, "; "))
		}
	}
	return nil
}

func newLogger(o *options) logr.Logger {
	level := zapcore.InfoLevel
	switch o.logLevel {
	case "debug":
		level = zapcore.DebugLevel
	case "error":
		level = zapcore.ErrorLevel
	}
	return zap.New(zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel))
}

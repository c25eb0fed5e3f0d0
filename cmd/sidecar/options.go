package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// version is set by the linker.
var version = "dev"

type options struct {
	server     string
	namespace  string
	identity   string
	kubeconfig string

	loginAddress   string
	allowPlaintext bool
	tlsCert        string
	tlsKey         string
	probeAddress   string
	maxConnections int

	hashSlots int
	hashQueue int

	logLevel    string
	showVersion bool
}

const usage = `sidecar answers the logins of one relay.

It serves one RelayServer of one namespace: password, device and policy of each login are checked against
the RelayUsers that name that server, the first login from a device binds it, and what happened is written
to the user's status. See docs/sidecar.md.

Usage:
  sidecar --server NAME [flags]

Flags:
`

func parseOptions(args []string) (*options, error) {
	o := &options{}
	fs := pflag.NewFlagSet("sidecar", pflag.ContinueOnError)
	fs.Usage = func() { fmt.Fprint(os.Stderr, usage, fs.FlagUsages()) }
	hostname, _ := os.Hostname()

	fs.StringVar(&o.server, "server", "", "name of the RelayServer to serve (required)")
	fs.StringVar(&o.namespace, "namespace", defaultNamespace(), "namespace of the RelayServer")
	fs.StringVar(&o.identity, "identity", hostname, "name of this sidecar in its Lease and in recorded failures")
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "path of a kubeconfig; without it, KUBECONFIG or the pod's service account")

	fs.StringVar(&o.loginAddress, "login-address", "127.0.0.1:8293", "address at which POST /v1/login is served")
	fs.BoolVar(&o.allowPlaintext, "allow-plaintext", false, "serve without TLS on an address that is not loopback: passwords cross the network in the clear")
	fs.StringVar(&o.tlsCert, "tls-cert", "", "path of a PEM certificate; it is read again when it changes")
	fs.StringVar(&o.tlsKey, "tls-key", "", "path of the certificate's PEM key")
	fs.StringVar(&o.probeAddress, "probe-address", "127.0.0.1:8294", "address at which /healthz, /readyz and /metrics are served; 0 for none")
	fs.IntVar(&o.maxConnections, "max-connections", 4096, "how many login connections are served at a time")

	fs.IntVar(&o.hashSlots, "hash-slots", max(1, runtime.GOMAXPROCS(0)-1), "how many passwords are hashed at a time")
	fs.IntVar(&o.hashQueue, "hash-queue", 0, "how many logins may wait for a hash slot, and as many again from bound devices; further ones are refused (default 16 and 32 for each slot)")

	fs.StringVar(&o.logLevel, "log-level", "info", "debug, info or error")
	fs.BoolVar(&o.showVersion, "version", false, "print the version and exit")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			os.Exit(0)
		}
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see --help", fs.Arg(0))
	}
	return o, o.validate()
}

func (o *options) validate() error {
	if o.showVersion {
		return nil
	}
	switch {
	case o.server == "":
		return errors.New("--server is required: the name of the RelayServer to serve")
	case o.namespace == "":
		return errors.New("--namespace is required outside a pod")
	case o.identity == "":
		return errors.New("--identity is required: the host has no name")
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case o.hashSlots < 1 || o.maxConnections < 1:
		return errors.New("--hash-slots and --max-connections must be at least 1")
	case o.logLevel != "debug" && o.logLevel != "info" && o.logLevel != "error":
		return errors.New("--log-level must be debug, info or error")
	}
	return o.validateAddress()
}

// validateAddress refuses to send passwords in the clear over a network unless that was asked for.
func (o *options) validateAddress() error {
	host, _, err := net.SplitHostPort(o.loginAddress)
	if err != nil {
		return fmt.Errorf("--login-address: %w", err)
	}
	ip := net.ParseIP(host)
	loopback := host == "localhost" || (ip != nil && ip.IsLoopback())
	if o.tlsCert == "" && !loopback && !o.allowPlaintext {
		return fmt.Errorf("--login-address %s is not loopback: give --tls-cert and --tls-key, or --allow-plaintext", o.loginAddress)
	}
	return nil
}

// defaultNamespace is the pod's own.
func defaultNamespace() string {
	b, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func newLogger(o *options) logr.Logger {
	level := zapcore.InfoLevel
	switch o.logLevel {
	case "debug":
		level = zapcore.DebugLevel
	case "error":
		level = zapcore.ErrorLevel
	}
	return zap.New(zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel)).WithName("sidecar").WithValues("server", o.namespace+"/"+o.server)
}

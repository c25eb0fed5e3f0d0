package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc/grpclog"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// version is set by the linker.
var version = "dev"

type options struct {
	server     string
	namespace  string
	identity   string
	kubeconfig string

	loginAddress string

	forwardAuthAddress           string
	forwardAuthCertificateHeader string

	extAuthzAddress string

	allowPlaintext bool
	tlsCert        string
	tlsKey         string
	// clientCertificates asks for certificates, of clientCA if it is not empty.
	clientCertificates bool
	clientCA           string
	probeAddress       string
	maxConnections     int

	radius  radiusOptions
	history historyOptions

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

const (
	// usageWidth is how wide the help text is.
	usageWidth = 100
	// maxIdentityBytes is what a RelayUser's status takes.
	maxIdentityBytes = 253
)

func parseOptions(args []string) (*options, error) {
	o := &options{}
	fs := pflag.NewFlagSet("sidecar", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() { fmt.Print(usage, fs.FlagUsagesWrapped(usageWidth)) }
	hostname, _ := os.Hostname()

	fs.StringVar(&o.server, "server", "", "name of the RelayServer to serve (required)")
	fs.StringVar(&o.namespace, "namespace", defaultNamespace(), "namespace of the RelayServer")
	fs.StringVar(&o.identity, "identity", hostname, "name of this sidecar in its Lease and in recorded failures")
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "path of a kubeconfig; without it, KUBECONFIG or the pod's service account")

	fs.StringVar(&o.loginAddress, "login-address", "127.0.0.1:8293", "address at which POST /v1/login is served")
	fs.StringVar(&o.forwardAuthAddress, "forward-auth-address", "", "address at which gateways ask whether a request may pass, such as 127.0.0.1:8295 (default: not served)")
	fs.StringVar(&o.forwardAuthCertificateHeader, "forward-auth-certificate-header", "", "header in which a trusted proxy tells the device's certificate; it must take the header away from clients (default: none is believed)")
	fs.StringVar(&o.extAuthzAddress, "ext-authz-address", "", "address at which Envoy asks by gRPC (ext_authz) whether a request may pass, such as 127.0.0.1:8296 (default: not served)")
	fs.BoolVar(&o.allowPlaintext, "allow-plaintext", false, "serve without TLS on an address that is not loopback: passwords cross the network in the clear")
	fs.StringVar(&o.tlsCert, "tls-cert", "", "path of a PEM certificate; it is read again when it changes")
	fs.StringVar(&o.tlsKey, "tls-key", "", "path of the certificate's PEM key")
	fs.BoolVar(&o.clientCertificates, "tls-client-certificates", false, "ask for a client certificate: a device that connects itself, not through the relay, is known by its key")
	fs.StringVar(&o.clientCA, "tls-client-ca", "", "path of PEM certificates: client certificates that none of them has issued are refused in the handshake")
	fs.StringVar(&o.probeAddress, "probe-address", "127.0.0.1:8294", "address at which /healthz, /readyz and /metrics are served; 0 for none")
	fs.IntVar(&o.maxConnections, "max-connections", 4096, "how many connections each listener serves at a time")

	o.radius.addFlags(fs)
	o.history.addFlags(fs)

	fs.IntVar(&o.hashSlots, "hash-slots", max(1, runtime.GOMAXPROCS(0)-1), "how many passwords are hashed at a time")
	fs.IntVar(&o.hashQueue, "hash-queue", 0, "how many logins may wait for a hash slot, and as many again from bound devices; further ones are refused (default 16 and 32 for each slot)")

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
	if err := setFromEnvironment(fs); err != nil {
		return nil, err
	}
	return o, errors.Join(o.validateNames(), o.validateNumbers(), o.validateAddresses(), o.validateTLS(), o.radius.validate(o.tlsCert), o.history.validate(o.namespace, o.server))
}

// setFromEnvironment gives each flag that was not given the value of TEGATA_<FLAG>, such as TEGATA_LOGIN_ADDRESS. An
// empty one is as if it were not there: so an injected sidecar can have them all of annotations that need not exist.
func setFromEnvironment(fs *pflag.FlagSet) error {
	var errs []error
	fs.VisitAll(func(f *pflag.Flag) {
		name := "TEGATA_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := os.Getenv(name)
		if f.Changed || value == "" || f.Name == "version" {
			return
		}
		if err := fs.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w; see --help", name, err))
		}
	})
	return errors.Join(errs...)
}

// validateNames refuses names that the API server would refuse, here where they were given.
func (o *options) validateNames() error {
	switch {
	case o.server == "":
		return errors.New("--server is required: the name of the RelayServer to serve")
	case len(validation.IsDNS1123Label(o.server)) > 0:
		return fmt.Errorf("--server %q is no name of a RelayServer", o.server)
	case o.namespace == "":
		return errors.New("--namespace is required outside a pod")
	case len(validation.IsDNS1123Label(o.namespace)) > 0:
		return fmt.Errorf("--namespace %q is no name of a namespace", o.namespace)
	case o.identity == "":
		return errors.New("--identity is required: the host has no name")
	case len(o.identity) > maxIdentityBytes:
		return fmt.Errorf("--identity must have at most %d bytes", maxIdentityBytes)
	}
	return nil
}

func (o *options) validateNumbers() error {
	switch {
	case o.hashSlots < 1 || o.maxConnections < 1:
		return errors.New("--hash-slots and --max-connections must be at least 1")
	case o.hashQueue < 0:
		return errors.New("--hash-queue must not be negative")
	case o.logLevel != "debug" && o.logLevel != "info" && o.logLevel != "error":
		return errors.New("--log-level must be debug, info or error")
	}
	return nil
}

func (o *options) validateAddresses() error {
	errs := []error{o.validateListener("--login-address", o.loginAddress), o.validateForwardAuth()}
	if o.extAuthzAddress != "" {
		errs = append(errs, o.validateListener("--ext-authz-address", o.extAuthzAddress))
	}
	if o.probeAddress != "0" {
		if _, err := hostOf(o.probeAddress); err != nil {
			errs = append(errs, fmt.Errorf("--probe-address: %w", err))
		}
	}
	return errors.Join(errs...)
}

// validateListener refuses to let passwords cross a network in the clear unless that was asked for.
func (o *options) validateListener(flag, address string) error {
	host, err := hostOf(address)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	if o.tlsCert == "" && !o.allowPlaintext && !isLoopback(host) {
		return fmt.Errorf("%s %s is not loopback: give --tls-cert and --tls-key, or --allow-plaintext", flag, address)
	}
	return nil
}

func (o *options) validateForwardAuth() error {
	header := o.forwardAuthCertificateHeader
	switch {
	case o.forwardAuthAddress == "" && header != "":
		return errors.New("--forward-auth-certificate-header goes with --forward-auth-address")
	case o.forwardAuthAddress == "":
		return nil
	case header != "" && !httpguts.ValidHeaderFieldName(header):
		return fmt.Errorf("--forward-auth-certificate-header %q is no name of a header", header)
	}
	return o.validateListener("--forward-auth-address", o.forwardAuthAddress)
}

func hostOf(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%q is no HOST:PORT", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q has no port between 0 and 65535", address)
	}
	return host, nil
}

// isLoopback does not ask the resolver: what a name means may change after the check.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func (o *options) validateTLS() error {
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if o.clientCA != "" && !o.clientCertificates {
		return errors.New("--tls-client-ca goes with --tls-client-certificates")
	}
	if o.tlsCert == "" {
		if o.clientCertificates {
			return errors.New("--tls-client-certificates needs --tls-cert and --tls-key")
		}
		return nil
	}
	if _, err := clientAuthorities(o.clientCA); err != nil {
		return fmt.Errorf("--tls-client-ca: %w", err)
	}
	if _, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey); err != nil {
		return fmt.Errorf("--tls-cert and --tls-key: %w", err)
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

// newLogger makes the logger, and hands it to the libraries that would write to stderr in their own way.
func newLogger(o *options) logr.Logger {
	level := zapcore.InfoLevel
	switch o.logLevel {
	case "debug":
		level = zapcore.DebugLevel
	case "error":
		level = zapcore.ErrorLevel
	}
	log := zap.New(zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel)).
		WithName("sidecar").WithValues("server", o.namespace+"/"+o.server)
	ctrllog.SetLogger(log)
	klog.SetLogger(log)
	grpclog.SetLoggerV2(newGRPCLog(log))
	return log
}

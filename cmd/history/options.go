package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/tegata-dev/tegata/internal/historyserver"
)

// version is set by the linker.
var version = "dev"

// The stores.
const (
	storeSQLite   = "sqlite"
	storePostgres = "postgres"
)

type options struct {
	store           string
	sqliteDir       string
	postgresDSNFile string
	retention       time.Duration
	quota           historyserver.Quota

	kubeconfig     string
	audiences      []string
	accessCache    time.Duration
	serving        *genericoptions.SecureServingOptionsWithLoopback
	authentication *genericoptions.DelegatingAuthenticationOptions
	authorization  *genericoptions.DelegatingAuthorizationOptions

	logLevel    string
	showVersion bool
}

const usage = `history keeps and serves the access history.

It takes what sidecars tell of every attempt to connect, and serves it as AccessRecords and UserUsages of
history.tegata.dev, behind the cluster's API server, which decides who may read and who may write. See
docs/history.md.

Usage:
  history --tls-cert-file FILE --tls-private-key-file FILE [flags]

Flags:
`

const (
	// usageWidth is how wide the help text is.
	usageWidth = 100
	// defaultPort needs no privileges.
	defaultPort = 8443
	// defaultRetention is a year.
	defaultRetention = 8760 * time.Hour
	// The API server's answers are asked for again after defaultAccessCache, and at least after maxAccessCache.
	defaultAccessCache = 10 * time.Second
	maxAccessCache     = 5 * time.Minute
)

func parseOptions(args []string) (*options, error) {
	o := newOptions()
	fs := pflag.NewFlagSet("history", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() { fmt.Print(usage, fs.FlagUsagesWrapped(usageWidth)) }
	o.addFlags(fs)
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
	o.authentication.CacheTTL, o.authorization.AllowCacheTTL, o.authorization.DenyCacheTTL = o.accessCache, o.accessCache, o.accessCache
	o.authentication.RemoteKubeConfigFile, o.authorization.RemoteKubeConfigFile = o.kubeconfig, o.kubeconfig
	if err := o.validate(); err != nil {
		return nil, err
	}
	return o, nil
}

func newOptions() *options {
	o := &options{
		serving:        genericoptions.NewSecureServingOptions().WithLoopback(),
		authentication: genericoptions.NewDelegatingAuthenticationOptions(),
		authorization:  genericoptions.NewDelegatingAuthorizationOptions(),
	}
	o.serving.Required = true
	o.serving.ServerCert.CertDirectory = ""
	// Nobody is let in without being asked for: a certificate of --client-ca-file may name any group.
	o.authorization.AlwaysAllowGroups = nil
	return o
}

func (o *options) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.store, "store", storeSQLite, "where records are kept: sqlite, in files of this server, or postgres, which several servers can share")
	fs.StringVar(&o.sqliteDir, "sqlite-dir", "", "directory of SQLite's files; it is this server's alone")
	fs.StringVar(&o.postgresDSNFile, "postgres-dsn-file", "", "path of a file that holds PostgreSQL's connection string, such as postgres://user:password@host/database")
	fs.DurationVar(&o.retention, "retention-default", defaultRetention, "for how long records are kept of a RelayServer that does not say it itself")
	fs.Float64Var(&o.quota.Rate, "ingest-rate", historyserver.DefaultQuota.Rate, "how many records a second are taken of one RelayServer in the long run; what it sends beyond that waits in its sidecars")
	fs.IntVar(&o.quota.Burst, "ingest-burst", historyserver.DefaultQuota.Burst, "how many records are taken of one RelayServer at once, such as have waited while this server was away")
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "path of a kubeconfig, needed outside a pod; without it, the pod's service account (KUBECONFIG is not read)")
	fs.StringSliceVar(&o.audiences, "token-audiences", []string{
		"tegata-history", "https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local",
	}, "audiences of which a caller's token must have one: that of sidecars' tokens, and the API server's own")
	fs.DurationVar(&o.accessCache, "access-cache", defaultAccessCache, "for how long an answer of the API server holds: a token that is revoked works for so long, and so does a permission that is taken away")
	fs.IPVar(&o.serving.BindAddress, "bind-address", net.IPv4zero, "address at which HTTPS is served")
	fs.IntVar(&o.serving.BindPort, "secure-port", defaultPort, "port at which HTTPS is served")
	fs.StringVar(&o.serving.ServerCert.CertKey.CertFile, "tls-cert-file", "", "path of a PEM certificate, for the Service's name; it is read again when it changes (required)")
	fs.StringVar(&o.serving.ServerCert.CertKey.KeyFile, "tls-private-key-file", "", "path of the certificate's PEM key (required)")
	fs.StringVar(&o.serving.MinTLSVersion, "tls-min-version", "VersionTLS12", "VersionTLS12 or VersionTLS13")
	fs.StringVar(&o.authentication.ClientCert.ClientCA, "client-ca-file", "", "path of PEM certificates: whoever shows a client certificate of theirs is the user that it names (default: the cluster's own)")
	fs.StringVar(&o.logLevel, "log-level", "info", "debug, info or error")
	fs.BoolVar(&o.showVersion, "version", false, "print the version and exit")
}

func (o *options) validate() error {
	errs := []error{o.validateStore()}
	if o.retention < time.Hour {
		errs = append(errs, errors.New("--retention-default must be at least 1h"))
	}
	if err := o.quota.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("--ingest-rate, --ingest-burst: %w", err))
	}
	if o.serving.ServerCert.CertKey.CertFile == "" || o.serving.ServerCert.CertKey.KeyFile == "" {
		errs = append(errs, errors.New("--tls-cert-file and --tls-private-key-file are required: the API server must know whom it forwards requests to"))
	}
	if o.serving.MinTLSVersion != "VersionTLS12" && o.serving.MinTLSVersion != "VersionTLS13" {
		errs = append(errs, errors.New("--tls-min-version must be VersionTLS12 or VersionTLS13"))
	}
	if o.accessCache < 0 || o.accessCache > maxAccessCache {
		errs = append(errs, fmt.Errorf("--access-cache must be between 0 and %s", maxAccessCache))
	}
	if len(o.audiences) == 0 || slices.Contains(o.audiences, "") {
		errs = append(errs, errors.New("--token-audiences must name one at least"))
	}
	if o.logLevel != "debug" && o.logLevel != "info" && o.logLevel != "error" {
		errs = append(errs, errors.New("--log-level must be debug, info or error"))
	}
	errs = append(errs, o.serving.Validate()...)
	errs = append(errs, o.authentication.Validate()...)
	return errors.Join(append(errs, o.authorization.Validate()...)...)
}

func (o *options) validateStore() error {
	switch {
	case o.store != storeSQLite && o.store != storePostgres:
		return fmt.Errorf("--store %q is neither sqlite nor postgres", o.store)
	case o.store == storeSQLite && o.sqliteDir == "":
		return errors.New("--store sqlite needs --sqlite-dir")
	case o.store == storePostgres && o.postgresDSNFile == "":
		return errors.New("--store postgres needs --postgres-dsn-file")
	case o.store == storeSQLite && o.postgresDSNFile != "", o.store == storePostgres && o.sqliteDir != "":
		return fmt.Errorf("--store %s takes no flag of the other store", o.store)
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
	log := zap.New(zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel)).WithName("history")
	ctrllog.SetLogger(log)
	klog.SetLogger(log.WithName("apiserver").V(1)) // what it says of its insides is for debugging; its errors stay errors
	return log
}

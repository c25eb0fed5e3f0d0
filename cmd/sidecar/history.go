package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/history/recorder"
	"github.com/tegata-dev/tegata/internal/history/spool"
	"github.com/tegata-dev/tegata/internal/history/witness"
	"github.com/tegata-dev/tegata/internal/liveness"
	"github.com/tegata-dev/tegata/internal/session"
)

// historyOptions are the flags of the history of attempts, which is off without an address.
type historyOptions struct {
	address    string
	caFile     string
	tokenFile  string
	certFile   string
	keyFile    string
	spoolDir   string
	spoolBytes int64
	interval   time.Duration
}

const (
	defaultSpoolBytes = 256 << 20
	// minHistoryInterval keeps live sessions from filling the history with themselves.
	minHistoryInterval = 10 * time.Second
)

func (o *historyOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.address, "history-address", "", "https://HOST[:PORT] of the history server that keeps every attempt; empty: no history is kept")
	fs.StringVar(&o.caFile, "history-ca-file", "", "path of the PEM certificates of the authorities by which the history server is known (default: the system's)")
	fs.StringVar(&o.tokenFile, "history-token-file", "", "path of the ServiceAccount token to show to the history server; it is read again for each batch")
	fs.StringVar(&o.certFile, "history-cert-file", "", "path of a PEM client certificate to show to the history server; it is read again for each connection")
	fs.StringVar(&o.keyFile, "history-key-file", "", "path of that certificate's PEM key")
	fs.StringVar(&o.spoolDir, "history-spool-dir", "", "directory in which records wait for the history server, of this sidecar alone (default: they wait in memory: some 4,000, which a stop loses)")
	fs.Int64Var(&o.spoolBytes, "history-spool-bytes", defaultSpoolBytes, "how much the spool takes on disk at most; further records are lost, and counted")
	fs.DurationVar(&o.interval, "history-interval", 5*time.Minute, "how often a session that lives is recorded as such")
}

func (o *historyOptions) validate(namespace, server string) error {
	switch {
	case o.address == "" && (o.tokenFile != "" || o.certFile != "" || o.spoolDir != ""):
		return errors.New("--history-token-file, --history-cert-file and --history-spool-dir go with --history-address")
	case o.address == "":
		return nil
	case (o.certFile == "") != (o.keyFile == ""):
		return errors.New("--history-cert-file and --history-key-file go together")
	case o.tokenFile == "" && o.certFile == "":
		return errors.New("--history-address needs --history-token-file, or --history-cert-file and --history-key-file")
	case o.spoolBytes < spool.MinBytes:
		return fmt.Errorf("--history-spool-bytes must be at least %d", spool.MinBytes)
	case o.interval < minHistoryInterval:
		return fmt.Errorf("--history-interval must be at least %s", minHistoryInterval)
	}
	_, err := o.newClient(namespace, server)
	return err
}

func (o *historyOptions) newClient(namespace, server string) (*recorder.Client, error) {
	return recorder.NewClient(recorder.ClientOptions{
		Address: o.address, Namespace: namespace, Server: server,
		CAFile: o.caFile, TokenFile: o.tokenFile, CertFile: o.certFile, KeyFile: o.keyFile,
	})
}

// historian keeps the history of attempts; nil where none is kept.
type historian struct {
	recorder *recorder.Recorder
	witness  *witness.Witness
	client   *recorder.Client
}

func newHistorian(o *options, users *directory.Directory, registry prometheus.Registerer, log logr.Logger) (*historian, error) {
	h := &o.history
	if h.address == "" {
		return nil, nil
	}
	client, err := h.newClient(o.namespace, o.server)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	r := recorder.New(recorder.Options{
		Spool:       spool.Options{Dir: h.spoolDir, Owner: o.namespace + "/" + o.server, MaxBytes: h.spoolBytes},
		Destination: client, Metrics: recorder.NewMetrics(registry), Log: log.WithName("history"),
	})
	return &historian{
		client: client, recorder: r,
		witness: witness.New(witness.Options{Recorder: r, Sidecar: o.identity, NameOf: nameOf(users), Interval: h.interval}),
	}, nil
}

func nameOf(users *directory.Directory) func(uid string) string {
	return func(uid string) string {
		if state := users.Subject(uid).State(); state != nil {
			return state.Account.Name
		}
		return ""
	}
}

// attempts is what authn tells; a nil interface where no history is kept.
func (h *historian) attempts() authn.History {
	if h == nil {
		return nil
	}
	return h.witness
}

// observers are those of sessions.
func (h *historian) observers(others ...session.Observer) []session.Observer {
	if h == nil {
		return others
	}
	return append(others, h.witness)
}

// start records until stop, which is to be called when nobody logs in any more. It tells of all that lives, and sends
// what it can.
func (h *historian) start() (stop func()) {
	if h == nil {
		return func() {}
	}
	telling, stopTelling := context.WithCancel(context.Background())
	recording, stopRecording := context.WithCancel(context.Background())
	told, recorded := make(chan struct{}), make(chan struct{})
	go func() { defer close(told); h.witness.Run(telling) }()
	go func() { defer close(recorded); h.recorder.Run(recording) }()
	return func() {
		stopTelling()
		<-told
		h.witness.Rest()
		stopRecording()
		<-recorded
		h.client.Close()
	}
}

// annotations are what the Lease tells the manager; nil where no history is kept.
func (h *historian) annotations() func() map[string]string {
	if h == nil {
		return nil
	}
	return func() map[string]string { return historyAnnotations(h.recorder.State()) }
}

// waitingLong is from which age on records are told to wait: before it, they are on their way.
const waitingLong = 5 * time.Minute

func historyAnnotations(s recorder.State) map[string]string {
	waiting := int64(0)
	if s.Age >= waitingLong {
		waiting = coarse(s.Waiting)
	}
	return map[string]string{
		liveness.AnnotationHistoryLost:    strconv.FormatInt(s.Lost, 10),
		liveness.AnnotationHistoryWaiting: strconv.FormatInt(waiting, 10),
	}
}

// coarse has two digits, so that what grows all the time does not change all the time.
func coarse(n int64) int64 {
	if n < 100 {
		return n
	}
	unit := int64(math.Pow10(len(strconv.FormatInt(n, 10)) - 2))
	return n / unit * unit
}

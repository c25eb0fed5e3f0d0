// Command bench measures what Tegata promises of speed, memory, writes and timing, and compares it with
// a floor that is measured in the same run, because the speed of a machine is nobody's promise. It
// exits with 1 when a bound is missed. docs/performance.md tells how to read it.
//
// It must not be lenient: a bound stands in the issue or the design that promised it, and is not moved
// until a run passes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// maxRunTime ends a run that hangs. To fill the stores of the history takes most of the time.
const maxRunTime = time.Hour

// measurement is one thing that is measured. A name may be given to --only.
type measurement struct {
	name  string
	about string
	run   func(context.Context, *lab) ([]Row, error)
}

var measurements = []measurement{
	{"decide", "the decision alone", measureDecide},
	{"overhead", "everything in a login but the password hash", measureOverhead},
	{"session", "a request under a session, without a protocol", measureSessionCheck},
	{"extauthz", "requests under a session against a gRPC server that always says yes", measureExtAuthz},
	{"forwardauth", "requests under a session against net/http with a trivial handler", measureForwardAuth},
	{"radius", "RADIUS accounting against a bare UDP responder", measureRADIUS},
	{"history-login", "a login that is recorded against one that is not", measureHistoryLogin},
	{"timing", "whether a decision's time tells who exists", measureDecisionTiming},
	{"directory", "memory of the users that a sidecar knows", measureDirectory},
	{"shards", "size of the Secrets with credentials", measureShards},
	{"throughput", "logins a second against a bare loop of the hash", measureThroughput},
	{"flood", "memory and refusals under 1,000 logins at once", measureFlood},
	{"footprint", "memory and processor time of a sidecar, idle and busy, by users", measureFootprint},
	{"coexist", "session checks during a flood of logins", measureCoexistence},
	{"replies", "whether a denial's reply tells its reason by its time", measureReplies},
	{"writes", "writes to the API server that a login waits for", measureWrites},
	{"history-ingest", "records from sidecars to the stores, the whole path, against a bare insert", measureHistoryIngest},
	{"history-sqlite", "the access history in files", measureHistorySQLite},
	{"history-postgres", "the access history in PostgreSQL: records put, and pages", measureHistoryPostgres},
}

var errMissed = errors.New("a bound was missed, or could not be judged")

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func dispatch(args []string) error {
	ctrllog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 && args[0] == childCommand {
		return runChild(ctx, args[1:])
	}
	return bench(ctx, args)
}

func bench(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil || o == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, maxRunTime)
	defer cancel()
	lab, err := newLab(o, os.Stderr)
	if err != nil {
		return err
	}
	report := newReport(o)
	err = errors.Join(runAll(ctx, lab, report, o.only), lab.close())
	report.print(os.Stdout)
	if o.json != "" {
		err = errors.Join(err, report.writeJSON(o.json))
	}
	if err == nil && report.missed() {
		err = errMissed
	}
	return err
}

// runAll goes on after a measurement that failed, so that one fault does not hide the rest.
func runAll(ctx context.Context, l *lab, r *report, only []string) error {
	var errs []error
	for _, m := range measurements {
		if len(only) > 0 && !slices.Contains(only, m.name) {
			continue
		}
		l.say("%s: %s", m.name, m.about)
		start := time.Now()
		rows, err := m.run(ctx, l)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		}
		r.add(m.name, rows)
		l.say("%s: done in %.0f s", m.name, time.Since(start).Seconds())
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

type options struct {
	quick     bool
	only      []string
	json      string
	breakHash bool
	// records are those of the larger of two stores of the access history.
	records int
}

// parseOptions returns nil when help was asked for.
func parseOptions(args []string) (*options, error) {
	o := &options{}
	fs := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	fs.Usage = func() { usage(os.Stderr, fs) }
	fs.BoolVar(&o.quick, "quick", false, "fewer and shorter rounds: to try things out, not to judge")
	fs.StringSliceVar(&o.only, "only", nil, "measure these only (comma-separated, may be repeated)")
	fs.StringVar(&o.json, "json", "", "write the figures to this `file` as JSON, too")
	fs.IntVar(&o.records, "history-records", 0, "with how many records the access history is measured; bounds are for the default (default 10,000,000, and 300,000 with --quick)")
	fs.BoolVar(&o.breakHash, "break-hash", false, "skip the hash for unknown users in the measurement timing, which must then fail")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil, nil
		}
		return nil, err
	}
	if o.records == 0 {
		o.records = 10_000_000
		if o.quick {
			o.records = 300_000
		}
	}
	if o.records < 20_000 {
		return nil, errors.New("--history-records must be at least 20000")
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see --help", fs.Arg(0))
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(measurements, func(m measurement) bool { return m.name == name }) {
			return nil, fmt.Errorf("--only %s: no such measurement; there are %s", name, names())
		}
	}
	return o, nil
}

func usage(w io.Writer, fs *pflag.FlagSet) {
	_, _ = fmt.Fprintf(w, "bench measures what Tegata promises and exits with 1 when a bound is missed.\n\n%s\nMeasurements:\n", fs.FlagUsages())
	for _, m := range measurements {
		_, _ = fmt.Fprintf(w, "  %-18s%s\n", m.name, m.about)
	}
}

func names() string {
	all := make([]string, len(measurements))
	for i, m := range measurements {
		all[i] = m.name
	}
	return strings.Join(all, ", ")
}

// Command device logs in as a person's device would: it keeps a private key in a file, and proves with it that
// it is the same device each time. It is an example to copy from; docs/devices.md tells what it does.
//
// A real device keeps its key where it cannot be read out, and talks to the relay, which passes challenge and
// proof on. This one must not be taken for more than an example: its key is a file.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// timeout is longer than the longest that a denial is held back.
const timeout = 40 * time.Second

const usage = `device logs in with the private key of a device, which it makes if there is none. It reads the password from
its standard input, prints the answer, and ends with status 0 when there was one, whatever it says.

Usage:
  device --key=FILE --sidecar=URL --host=HOST --user=NAME [flags]
  device --key=FILE --thumbprint

Flags:
`

type options struct {
	key        string
	thumbprint bool

	sidecar, host          string
	user, viewer, language string
	certificate            bool
	trusted                string
	include                bool
}

func main() {
	err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout)
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "device:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	o, err := parseOptions(args, out)
	if err != nil {
		return err
	}
	key, err := openKey(o.key)
	if err != nil {
		return err
	}
	if o.thumbprint {
		return key.printThumbprint(out)
	}
	password, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the password: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d, err := newDevice(o, key)
	if err != nil {
		return err
	}
	defer d.http.CloseIdleConnections()
	return d.logIn(ctx, strings.TrimRight(password, "\r\n"), out)
}

func parseOptions(args []string, out io.Writer) (*options, error) {
	o := &options{}
	fs := pflag.NewFlagSet("device", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() { _, _ = fmt.Fprint(out, usage, fs.FlagUsagesWrapped(100)) }
	fs.StringVar(&o.key, "key", "", "file of the device's private key in PEM; it is made if there is none (required)")
	fs.BoolVar(&o.thumbprint, "thumbprint", false, "print the thumbprint of the public key (RFC 7638), and do nothing else")
	fs.StringVar(&o.sidecar, "sidecar", "", "the sidecar, or what passes requests on to it: http://HOST:PORT or https://")
	fs.StringVar(&o.host, "host", "", "the relay's host as the person knows it: the proof is for it alone")
	fs.StringVar(&o.user, "user", "", "login name")
	fs.StringVar(&o.viewer, "viewer", "mobile", "kind of viewer: pc or mobile")
	fs.StringVar(&o.language, "language", "", "the person's language, for a denial")
	fs.BoolVar(&o.certificate, "certificate", false, "show a client certificate of the key instead of a proof")
	fs.StringVar(&o.trusted, "trust", "", "file of PEM certificates to trust instead of the system's")
	fs.BoolVar(&o.include, "include", false, "print the header of the answer, too")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.key == "":
		return nil, errors.New("--key is required")
	case o.thumbprint:
		return o, nil
	case o.sidecar == "" || o.user == "" || o.host == "" && !o.certificate:
		return nil, errors.New("--sidecar, --user and --host are required")
	}
	return o, nil
}

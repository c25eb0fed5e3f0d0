// Package why is `kubectl relay why`: the last failure of a user in a sentence, whether a reset would help, and the
// exact next command.
//
// It reads the user's status, and for `--id` the access history where there is one. It changes nothing.
package why

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

const example = `  # why can taro not log in?
  kubectl relay why taro
  # what was the attempt of which the person was shown this id?
  kubectl relay why --id ZS3ERYX7RC54DWPAW27SGOJJCL`

type options struct {
	*shell.Shell
	who, id string
	output  string

	client client.Client
}

// Command is the verb.
func Command(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	cmd := &cobra.Command{
		Use: "why {USER | --id CORRELATION-ID}", Short: "Say why the last login failed, and what mends it",
		Example: example, Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.CompleteUser, RunE: s.Run(o),
	}
	cmd.Flags().StringVar(&o.id, "id", "", "The attempt of which the person was shown this id")
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "Format: text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", shell.CompleteWords("text", "json")) // the flag is above
	return cmd
}

// Complete takes the name.
func (o *options) Complete(args []string) error {
	if len(args) > 0 {
		o.who = args[0]
	}
	o.id = strings.TrimSpace(o.id)
	return nil
}

// Validate wants a user or an id.
func (o *options) Validate() error {
	switch {
	case o.who == "" && o.id == "":
		return errors.New("name a user, or give --id with the id that the person was shown")
	case o.id != "" && !isPlain(o.id):
		return fmt.Errorf("--id is %q: an id has letters and digits only", o.id)
	case o.output != "text" && o.output != "json":
		return fmt.Errorf("--output is %q: it must be text or json", o.output)
	}
	return nil
}

// Run explains.
func (o *options) Run(ctx context.Context) error {
	var err error
	if o.client, err = o.Client(); err != nil {
		return err
	}
	subject, err := o.find(ctx)
	if err != nil {
		return err
	}
	if subject.user != nil {
		err = o.client.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: subject.user.Spec.ServerRef.Name}, &subject.server)
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			return fmt.Errorf("get relayserver %s: %w", subject.user.Spec.ServerRef.Name, err)
		}
		subject.serverKnown = err == nil
	}
	verdict := judge(subject)
	if err := o.print(subject, verdict); err != nil {
		return err
	}
	if verdict.code == shell.Done {
		return nil
	}
	return shell.Exit(verdict.code, nil)
}

// subject is the failure to explain.
type subject struct {
	user *v1alpha1.RelayUser // nil when nobody has that login name
	// failure is the attempt; nil when the user's last login did not fail.
	failure *v1alpha1.LoginFailure
	// userName is what was typed, where it is known.
	userName string
	// newest says that the failure is the user's last one: only then is status about it.
	newest      bool
	server      v1alpha1.RelayServer
	serverKnown bool
	// elsewhere is the server that the attempt was at, where it is not the user's.
	elsewhere string
}

func (o *options) find(ctx context.Context) (*subject, error) {
	if o.id != "" {
		return o.findByID(ctx)
	}
	user, err := o.FindUser(ctx, o.client, o.who)
	if err != nil {
		return nil, err
	}
	return &subject{user: user, failure: lastFailure(user), userName: user.LoginName(), newest: true}, nil
}

// lastFailure is the newest failure, with as much as is known of it.
func lastFailure(user *v1alpha1.RelayUser) *v1alpha1.LoginFailure {
	last := user.Status.LastFailure
	if last.Time == nil {
		return nil
	}
	for i := range user.Status.RecentFailures { // newest first
		if f := &user.Status.RecentFailures[i]; f.Reason == last.Reason {
			return f
		}
	}
	return &v1alpha1.LoginFailure{Reason: last.Reason, FirstTime: *last.Time, LastTime: *last.Time, Count: 1}
}

// findByID looks in the status of users, which everybody has, then in the history, which goes further back.
func (o *options) findByID(ctx context.Context) (*subject, error) {
	var only *v1alpha1.RelayUser
	if o.who != "" {
		var err error
		if only, err = o.FindUser(ctx, o.client, o.who); err != nil {
			return nil, err
		}
	}
	found, err := o.inStatus(ctx, only)
	if found != nil || err != nil {
		return found, err
	}
	return o.inHistory(ctx, only)
}

var errFound = errors.New("found")

func (o *options) inStatus(ctx context.Context, only *v1alpha1.RelayUser) (*subject, error) {
	var found *subject
	look := func(user *v1alpha1.RelayUser) error {
		for i := range user.Status.RecentFailures {
			if f := &user.Status.RecentFailures[i]; strings.EqualFold(f.CorrelationID, o.id) {
				found = &subject{user: user.DeepCopy(), failure: f.DeepCopy(), userName: user.LoginName(), newest: lastFailure(user) == f}
				return errFound
			}
		}
		return nil
	}
	if only != nil {
		_ = look(only) // errFound only says that it is found
		return found, nil
	}
	if err := o.EachUser(ctx, o.client, look); err != nil && !errors.Is(err, errFound) {
		return nil, err
	}
	return found, nil
}

func (o *options) inHistory(ctx context.Context, only *v1alpha1.RelayUser) (*subject, error) {
	var record historyv1alpha1.AccessRecord
	err := o.client.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: strings.ToLower(o.id)}, &record)
	switch {
	case shell.IsAbsent(err):
		return nil, shell.Exitf(shell.NotFound, "no recent failure in namespace %s has the id %s, and there is no access history to look further back", o.Namespace, o.id)
	case apierrors.IsNotFound(err), err == nil && only != nil && record.User != only.Name:
		return nil, shell.Exitf(shell.NotFound, "no attempt in namespace %s has the id %s: is it spelled right, and of a relay of this namespace?", o.Namespace, o.id)
	case err != nil:
		return nil, fmt.Errorf("read the access history: %w", err)
	}
	return o.fromRecord(ctx, &record)
}

func (o *options) fromRecord(ctx context.Context, r *historyv1alpha1.AccessRecord) (*subject, error) {
	s := &subject{userName: r.UserName}
	if r.Result == historyv1alpha1.ResultFailure {
		s.failure = failureOf(r)
	}
	if r.User == "" {
		return s, nil
	}
	var user v1alpha1.RelayUser
	err := o.client.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: r.User}, &user)
	switch {
	case apierrors.IsNotFound(err): // deleted since
	case err != nil:
		return nil, fmt.Errorf("get relayuser %s: %w", r.User, err)
	default:
		s.user = &user
		if r.Server != user.Spec.ServerRef.Name {
			s.elsewhere = r.Server
		}
	}
	return s, nil
}

func isPlain(id string) bool {
	return len(id) <= 64 && strings.IndexFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}

// print says it in words or as JSON.
func (o *options) print(s *subject, v verdict) error {
	if o.output == "json" {
		line, err := screen.JSON(v.report(o, s))
		if err != nil {
			return err
		}
		_, err = o.Terminal.Writer().Write(line)
		return err
	}
	return o.say(s, v)
}

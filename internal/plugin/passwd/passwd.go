// Package passwd is `kubectl relay passwd`: it asks for a new password, hashes it here, and writes the hash into the
// user's Secret. The password itself never leaves this process: not to the cluster, not into a file, not into an
// error.
package passwd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// maxInput bounds what is read: no password is longer.
const maxInput = 4096

const example = `  # type it twice
  kubectl relay passwd taro
  # from a password manager
  pass show relay/taro | kubectl relay passwd taro --stdin
  # make one, and print it once
  kubectl relay passwd taro --generate`

type options struct {
	*shell.Shell
	who       string
	stdin     bool
	generate  bool
	allowWeak bool

	client client.Client
}

// Command is the verb.
func Command(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	cmd := &cobra.Command{
		Use: "passwd USER", Short: "Set a user's password", Example: example,
		Args: cobra.ExactArgs(1), ValidArgsFunction: s.CompleteUser, RunE: s.Run(o),
	}
	cmd.Flags().BoolVar(&o.stdin, "stdin", false, "Read the password from the standard input; one line break at its end is dropped")
	cmd.Flags().BoolVar(&o.generate, "generate", false, "Make a password and print it, once")
	cmd.Flags().BoolVar(&o.allowWeak, "allow-weak", false, "Take a password that is easily guessed")
	return cmd
}

// Complete takes the name.
func (o *options) Complete(args []string) error {
	o.who = args[0]
	return nil
}

// Validate refuses two sources.
func (o *options) Validate() error {
	if o.stdin && o.generate {
		return errors.New("--stdin and --generate: give one")
	}
	return nil
}

// Run asks, checks, hashes and writes. It looks at the Secret before it asks: nobody types in vain.
func (o *options) Run(ctx context.Context) error {
	var err error
	if o.client, err = o.Client(); err != nil {
		return err
	}
	user, err := o.FindUser(ctx, o.client, o.who)
	if err != nil {
		return err
	}
	target, err := o.target(ctx, user)
	if err != nil {
		return err
	}
	plain, err := o.read(ctx)
	if err != nil {
		return err
	}
	defer clear(plain)
	hash, err := o.hash(plain, user)
	if err != nil {
		return err
	}
	if err := o.write(ctx, user, target, hash); err != nil {
		return err
	}
	return o.say(user, target, plain)
}

// read is the password as it was typed, made or piped.
func (o *options) read(ctx context.Context) ([]byte, error) {
	switch {
	case o.generate:
		return []byte(password.Generate()), nil
	case o.stdin:
		return o.readInput()
	}
	first, err := screen.AskSecret(ctx, o.In, o.ErrOut, o.Lang.Of("New password: ", "新しいパスワード："))
	if errors.Is(err, screen.ErrNobody) {
		return nil, shell.Usage(fmt.Errorf("the input is no terminal: give --stdin to read the password from it"))
	}
	if err != nil {
		return nil, err
	}
	again, err := screen.AskSecret(ctx, o.In, o.ErrOut, o.Lang.Of("Again: ", "もう一度："))
	if err != nil {
		return nil, err
	}
	defer clear(again)
	if !bytes.Equal(first, again) {
		return nil, errors.New("the two are not the same: nothing was changed")
	}
	return first, nil
}

func (o *options) readInput() ([]byte, error) {
	input, err := io.ReadAll(io.LimitReader(o.In, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	if len(input) > maxInput {
		return nil, errors.New("the input is longer than any password: nothing was changed")
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(input, []byte("\n")), []byte("\r")), nil
}

// hash checks a password and hashes it. Errors say nothing of it.
func (o *options) hash(plain []byte, user *v1alpha1.RelayUser) (password.Hash, error) {
	if err := password.CheckPlain(plain); err != nil {
		return password.Hash{}, fmt.Errorf("%w: nothing was changed", err)
	}
	if err := checkStrength(plain, user); err != nil && !o.allowWeak && !o.generate {
		return password.Hash{}, err
	}
	return password.New(plain)
}

func (o *options) say(user *v1alpha1.RelayUser, t *target, plain []byte) error {
	if o.generate {
		if err := o.Terminal.Printf("%s\n", plain); err != nil {
			return err
		}
	}
	o.Note(o.Lang.Of("The password of %s is set (Secret %s). Sessions that began with the old one end.",
		"%s のパスワードを変更しました（Secret %s）。以前のパスワードによるセッションは終了します。"), user.Name, t.name)
	if t.isNew {
		o.NoteGit(user, "spec.password.secretRef.name: "+t.name)
	}
	if t.leavesTemporary {
		o.Note(o.Lang.Of("The temporary password is refused from now on. Remove its Secret: kubectl delete secret %s -n %s",
			"仮パスワードは使えなくなりました。Secret を削除してください：kubectl delete secret %s -n %s"), temporaryName(user), user.Namespace)
	}
	return nil
}

func temporaryName(user *v1alpha1.RelayUser) string { return user.Name + "-temporary-password" }

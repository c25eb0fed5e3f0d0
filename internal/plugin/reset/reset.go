// Package reset is `kubectl relay reset`: it shows what a DeviceReset will change, asks, creates it, waits until it is
// enforced and says what came of it.
//
// It changes nothing itself: the manager carries a DeviceReset out, and only that knows what was done.
package reset

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

const example = `  # taro has a new phone
  kubectl relay reset taro --slot mobile
  # let in the phone that was refused last, and no other
  kubectl relay reset taro --slot mobile --next-device
  # in a script: it happens once for this ticket, however often it is run
  kubectl relay reset taro --slot mobile --request-id ticket-1234 --yes
  # everybody in Sales has a new phone
  kubectl relay reset --selector team=sales --slot mobile --max-users 250`

// latest is --next-device without a value: the device that was refused last.
const latest = "latest"

type options struct {
	*shell.Shell
	who       string
	slotNames []string
	slots     []v1alpha1.Slot
	next      string
	previous  string
	selector  string
	labels    map[string]string
	maxUsers  int32
	maxSet    bool
	dryRun    string
	reason    string
	requestID string
	yes       bool
	wait      bool
	timeout   time.Duration

	client client.WithWatch
}

// Command is the verb.
func Command(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	cmd := &cobra.Command{
		Use: "reset {USER | --selector LABELS} --slot SLOT", Short: "Free slots of a user, so that other devices can be registered",
		Example: example, Args: cobra.MaximumNArgs(2), ValidArgsFunction: s.CompleteUser,
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.slotNames, "slot", nil, "Slots to free: pc, mobile, or pc,mobile for both")
	flags.StringVar(&o.next, "next-device", "", "Only this device may register next: a digest (--next-device=DIGEST), or without one the device of the last DeviceMismatch in the slot")
	flags.Lookup("next-device").NoOptDefVal = latest
	flags.StringVar(&o.previous, "previous-device", "deny", "Whether the removed device may register again: deny or allow")
	flags.StringVarP(&o.selector, "selector", "l", "", "Users by their labels instead of one user, such as team=sales")
	flags.Int32Var(&o.maxUsers, "max-users", v1alpha1.DefaultMaxUsers, "With --selector: if it picks more, nothing is reset")
	flags.StringVar(&o.dryRun, "dry-run", "none", "Only show what would change: client, or server to have the API server check it too")
	flags.Lookup("dry-run").NoOptDefVal = "client"
	flags.StringVar(&o.reason, "reason", "", "A note on why, such as a ticket's number")
	flags.StringVar(&o.requestID, "request-id", "", "What makes the reset happen once; a random one when left out")
	flags.BoolVarP(&o.yes, "yes", "y", false, "Do not ask")
	flags.BoolVar(&o.wait, "wait", true, "Wait until every sidecar enforces it")
	flags.DurationVar(&o.timeout, "timeout", 6*time.Minute, "How long to wait; the default is longer than a silent sidecar is waited for")
	for name, choices := range map[string][]string{
		"slot": {"pc", "mobile"}, "previous-device": {"deny", "allow"}, "dry-run": {"none", "client", "server"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, shell.CompleteWords(choices...)) // the flag is above
	}
	run := s.Run(o)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.maxSet = flags.Changed("max-users")
		return run(cmd, args)
	}
	return cmd
}

// Complete reads slots and labels.
func (o *options) Complete(args []string) error {
	if len(args) == 2 && o.next == latest && digestPattern.MatchString(args[1]) {
		return fmt.Errorf("write --next-device=%s, with a =", args[1])
	}
	if len(args) == 2 {
		return errors.New("name one user; for several, use --selector")
	}
	if len(args) == 1 {
		o.who = args[0]
	}
	for _, name := range o.slotNames {
		slot := v1alpha1.Slot(strings.ToLower(strings.TrimSpace(name)))
		if slot != v1alpha1.SlotPC && slot != v1alpha1.SlotMobile {
			return fmt.Errorf("--slot is %q: it must be pc or mobile", name)
		}
		if !slices.Contains(o.slots, slot) {
			o.slots = append(o.slots, slot)
		}
	}
	var err error
	if o.selector != "" {
		if o.labels, err = labels.ConvertSelectorToLabelsMap(o.selector); err != nil {
			return fmt.Errorf("--selector %q: it must be labels with their values, such as team=sales: %w", o.selector, err)
		}
	}
	return nil
}

var digestPattern = regexp.MustCompile(`^[a-z0-9]{1,16}:[A-Za-z0-9_-]{43}$`)

// Validate refuses what the API server would refuse, in the words of the flags.
func (o *options) Validate() error {
	o.previous, o.dryRun = strings.ToLower(o.previous), strings.ToLower(o.dryRun)
	switch {
	case (o.who == "") == (len(o.labels) == 0):
		return errors.New("name either a user or --selector")
	case len(o.slots) == 0:
		return errors.New("--slot is missing: pc, mobile, or pc,mobile")
	case o.next != "" && (o.who == "" || len(o.slots) != 1):
		return errors.New("--next-device names one person's device: it needs a user and exactly one slot")
	case o.next != "" && o.next != latest && !digestPattern.MatchString(o.next):
		return fmt.Errorf("--next-device is %q: it must be a device digest as kubectl relay why shows it", o.next)
	case o.previous != "deny" && o.previous != "allow":
		return fmt.Errorf("--previous-device is %q: it must be deny or allow", o.previous)
	case !slices.Contains([]string{"none", "client", "server"}, o.dryRun):
		return fmt.Errorf("--dry-run is %q: it must be none, client or server", o.dryRun)
	case o.maxSet && o.selector == "":
		return errors.New("--max-users limits --selector: leave it out with a user")
	case o.maxUsers < 1:
		return errors.New("--max-users must be at least 1")
	case o.timeout <= 0:
		return errors.New("--timeout must be more than nothing; not to wait, give --wait=false")
	}
	return nil
}

// Run shows, asks, creates and waits.
func (o *options) Run(ctx context.Context) error {
	var err error
	if o.client, err = o.Client(); err != nil {
		return err
	}
	users, err := o.users(ctx)
	if err != nil {
		return err
	}
	if o.next == latest {
		if o.next, err = lastMismatch(&users[0], o.slots[0]); err != nil {
			return err
		}
	}
	if err := o.showPlan(ctx, users); err != nil {
		return err
	}
	if o.dryRun == "client" {
		return o.Terminal.Printf("%s\n", o.Lang.Of("Nothing was changed (dry run).", "変更は行っていません（dry run）。"))
	}
	if o.dryRun == "none" {
		if err := o.Confirm(ctx, o.yes, o.Lang.Of("Apply these changes?", "入力された情報をシステムに反映させます。よろしいですか?")); err != nil {
			return err
		}
	}
	reset, err := o.create(ctx, users)
	if err != nil || o.dryRun == "server" || !o.wait {
		return err
	}
	return o.await(ctx, reset)
}

// users are those whose slots are to be freed, by their names.
func (o *options) users(ctx context.Context) ([]v1alpha1.RelayUser, error) {
	if o.who != "" {
		user, err := o.FindUser(ctx, o.client, o.who)
		if err != nil {
			return nil, err
		}
		return []v1alpha1.RelayUser{*user}, nil
	}
	var users []v1alpha1.RelayUser
	err := o.EachUser(ctx, o.client, func(user *v1alpha1.RelayUser) error {
		users = append(users, *user)
		return nil
	}, client.MatchingLabels(o.labels))
	switch {
	case err != nil:
		return nil, err
	case len(users) == 0:
		return nil, shell.Exitf(shell.NotFound, "no RelayUser in namespace %s has the labels %s", o.Namespace, o.selector)
	case len(users) > int(o.maxUsers):
		return nil, fmt.Errorf("%d users have the labels %s, which is more than --max-users %d: nothing was reset", len(users), o.selector, o.maxUsers)
	}
	return users, nil
}

// lastMismatch is the device that was refused last in a slot because another is registered.
func lastMismatch(user *v1alpha1.RelayUser, slot v1alpha1.Slot) (string, error) {
	for i := range user.Status.RecentFailures { // newest first
		f := &user.Status.RecentFailures[i]
		if f.Reason == v1alpha1.ReasonDeviceMismatch && f.Slot == slot && digestPattern.MatchString(string(f.Digest)) {
			return string(f.Digest), nil
		}
	}
	return "", fmt.Errorf("no recent failure of %s is a DeviceMismatch in the slot %s: name the device with --next-device=DIGEST, "+
		"as kubectl relay why shows it", user.Name, slot)
}

// create creates the DeviceReset. Its name is made here and not by the API server, so that a request that is sent
// twice, because its answer was lost, makes one.
func (o *options) create(ctx context.Context, users []v1alpha1.RelayUser) (*v1alpha1.DeviceReset, error) {
	reset := &v1alpha1.DeviceReset{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.name(users)},
		Spec: v1alpha1.DeviceResetSpec{
			Slots: o.slots, Reason: o.reason, RequestID: o.requestID,
			NextDevice: v1alpha1.DeviceDigest(o.next), PreviousDevice: v1alpha1.PreviousDeviceDeny,
		},
	}
	if o.previous == "allow" {
		reset.Spec.PreviousDevice = v1alpha1.PreviousDeviceAllow
	}
	if o.who != "" {
		reset.Spec.UserRef = &v1alpha1.LocalReference{Name: users[0].Name}
	} else {
		reset.Spec.MaxUsers = &o.maxUsers
		reset.Spec.Selector = &v1alpha1.UserSelector{MatchLabels: map[string]v1alpha1.LabelValue{}}
		for key, value := range o.labels {
			reset.Spec.Selector.MatchLabels[key] = v1alpha1.LabelValue(value)
		}
	}
	create := []client.CreateOption{client.FieldOwner(shell.FieldOwner)}
	if o.dryRun == "server" {
		create = append(create, client.DryRunAll)
	}
	if err := o.client.Create(ctx, reset, create...); err != nil {
		return nil, fmt.Errorf("create devicereset %s: %w", reset.Name, err)
	}
	done := o.Lang.Of("devicereset.tegata.dev/%s created\n", "devicereset.tegata.dev/%s を作成しました\n")
	if o.dryRun == "server" {
		done = o.Lang.Of("devicereset.tegata.dev/%s would be created (server dry run)\n", "devicereset.tegata.dev/%s は作成できます（server dry run）\n")
	}
	return reset, o.Terminal.Printf(done, reset.Name)
}

package history_test

import (
	"context"
	"encoding/base32"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/history"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

// fake answers as the history server does, in pages of at most two records, so that paging is always tested.
// What is asked of it is noted.
type fake struct {
	client.WithWatch // nil: what is not below is not called
	users            []v1alpha1.RelayUser
	records          []historyv1alpha1.AccessRecord // newest first
	usages           map[string]time.Duration
	err              error

	asked   []string
	watches []func(*watch.FakeWatcher) error
	erased  string
}

func (f *fake) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	notFound := apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, key.Name)
	switch object := into.(type) {
	case *v1alpha1.RelayUser:
		for i := range f.users {
			if f.users[i].Name == key.Name {
				f.users[i].DeepCopyInto(object)
				return nil
			}
		}
	case *historyv1alpha1.UserUsage:
		if total, known := f.usages[key.Name]; known {
			object.ConnectedTime.Duration = total
			return nil
		}
	}
	return notFound
}

func (f *fake) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(options)
	switch list := into.(type) {
	case *v1alpha1.RelayUserList:
		list.Items = f.users
	case *historyv1alpha1.AccessRecordList:
		if f.err != nil {
			return f.err
		}
		f.asked = append(f.asked, o.FieldSelector.String())
		from := 0
		if o.Continue != "" {
			from, _ = strconv.Atoi(o.Continue)
		}
		to := min(from+2, from+int(o.Limit), len(f.records))
		list.Items = f.records[from:to]
		list.ResourceVersion = "100"
		if to < len(f.records) {
			list.Continue = strconv.Itoa(to)
		}
	}
	return nil
}

func (f *fake) Watch(_ context.Context, _ client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
	o := (&client.ListOptions{}).ApplyOptions(options)
	f.asked = append(f.asked, "watch from "+o.Raw.ResourceVersion)
	if len(f.watches) == 0 {
		return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "accessrecords"}, "", nil)
	}
	w := watch.NewFakeWithChanSize(10, false)
	play := f.watches[0]
	f.watches = f.watches[1:]
	return w, play(w)
}

func (f *fake) DeleteAllOf(_ context.Context, _ client.Object, options ...client.DeleteAllOfOption) error {
	o := (&client.DeleteAllOfOptions{}).ApplyOptions(options)
	terms := strings.Split(o.FieldSelector.String(), ",")
	slices.Sort(terms)
	f.erased = o.Namespace + " " + strings.Join(terms, ",")
	return nil
}

// tokyo is the reader's zone, which has no summer time.
var tokyo = time.FixedZone("JST", 9*3600)

// run runs `history` with a clock that stands still, and returns what it prints and its exit code.
func run(t *testing.T, f *fake, args ...string) (stdout, stderr string, code shell.Code) {
	t.Helper()
	return runWith(t, f, nil, args...)
}

// runWith has an environment.
func runWith(t *testing.T, f *fake, environment map[string]string, args ...string) (stdout, stderr string, code shell.Code) {
	t.Helper()
	streams, _, out, errs := genericiooptions.NewTestIOStreams()
	s := shell.New(streams)
	s.Getenv = func(name string) string { return environment[name] }
	s.Now = func() time.Time { return time.Date(2026, 11, 16, 3, 0, 0, 0, time.UTC) }
	s.Zone = tokyo
	s.Connect = func() (client.WithWatch, error) { return f, nil }
	cmd := history.Command(s)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	s.AddFlags(cmd)
	cmd.SetArgs(append(args, "--namespace=relays"))
	code = shell.Report(errs, cmd.ExecuteContext(t.Context()))
	return out.String(), errs.String(), code
}

// at is a time on the manual's day, in the reader's zone.
func at(clock string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04:05", "2026-11-15 "+clock, tokyo)
	if err != nil {
		panic(err)
	}
	return t
}

func record(user, clock string) historyv1alpha1.AccessRecord {
	start := at(clock)
	name := strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(fmt.Appendf(nil, "%016d", start.Unix()))[:26])
	return historyv1alpha1.AccessRecord{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "relays", ResourceVersion: "101"},
		Server:     "asp1", User: user, UserName: user, Program: "viewer", Viewer: "pc", Slot: "pc",
		Result: historyv1alpha1.ResultSuccess, StartTime: metav1.NewMicroTime(start), State: historyv1alpha1.StateOpen,
		SourceAddress: "192.0.2.7", MACAddress: "00:11:22:aa:bb:cc", Destination: "office-pc",
	}
}

func failed(user, clock string, reason v1alpha1.Reason) historyv1alpha1.AccessRecord {
	r := record(user, clock)
	end := r.StartTime
	r.Result, r.Reason, r.EndTime, r.State = historyv1alpha1.ResultFailure, string(reason), &end, ""
	return r
}

func ended(user, clock, end string) historyv1alpha1.AccessRecord {
	r := record(user, clock)
	to := metav1.NewMicroTime(at(end))
	r.EndTime, r.State, r.End = &to, historyv1alpha1.StateEnded, historyv1alpha1.EndLogout
	r.Duration = &metav1.Duration{Duration: to.Sub(r.StartTime.Time)}
	return r
}

// manual is the page of the manual.
func manual() *fake {
	return &fake{
		users: []v1alpha1.RelayUser{{ObjectMeta: metav1.ObjectMeta{Name: "user1"}}},
		records: []historyv1alpha1.AccessRecord{
			failed("user1", "10:36:47", v1alpha1.ReasonDeviceNotRegistered),
			failed("user1", "10:36:42", v1alpha1.ReasonPasswordMismatch),
			ended("user1", "10:17:00", "10:29:23"),
			failed("user1", "10:16:55", v1alpha1.ReasonPasswordMismatch),
		},
		usages: map[string]time.Duration{"user1": 33*time.Minute + 36*time.Second},
	}
}

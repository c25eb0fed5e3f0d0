package users

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
	"github.com/tegata-dev/tegata/internal/plugin/words"
)

// workers is how many requests are under way at a time.
const workers = 8

const importExample = `  # to YAML, for Git
  kubectl relay users import users.csv > users.yaml
  # to the cluster; nothing is changed unless every line is good
  kubectl relay users import users.csv --apply
  # as Excel in Japan writes it
  kubectl relay users import users.csv --encoding shift_jis --apply`

type importing struct {
	*shell.Shell
	file     string
	encoding string
	output   string
	apply    bool
	dryRun   bool
	force    bool
	yes      bool

	client client.Client
}

func importCommand(s *shell.Shell) *cobra.Command {
	i := &importing{Shell: s}
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Make RelayUsers of the lines of a CSV file; - is the standard input",
		Example: importExample, Args: cobra.ExactArgs(1), RunE: s.Run(i),
		Long: "Makes RelayUsers of the lines of a CSV file (with , or ; or tabs between fields), the first of which names its columns:\n  " + columnNames() +
			"\nIt prints them as YAML for Git, or applies them with --apply. Users who are not in the file stay as they are.",
	}
	flags := cmd.Flags()
	flags.StringVar(&i.encoding, "encoding", "utf-8", "Encoding of the file: utf-8 or shift_jis")
	flags.StringVarP(&i.output, "output", "o", "yaml", "Format when not applied: yaml or json")
	flags.BoolVar(&i.apply, "apply", false, "Apply to the cluster, by server-side apply")
	flags.BoolVar(&i.dryRun, "dry-run", false, "With --apply: have the API server check each line, and change nothing")
	flags.BoolVar(&i.force, "force-conflicts", false, "With --apply: take over fields that somebody else has set")
	flags.BoolVarP(&i.yes, "yes", "y", false, "Do not ask")
	for name, choices := range map[string][]string{"encoding": {"utf-8", "shift_jis"}, "output": {"yaml", "json"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, shell.CompleteWords(choices...)) // the flag is above
	}
	return cmd
}

// Complete takes the file's name.
func (i *importing) Complete(args []string) error {
	i.file = args[0]
	return nil
}

// Validate checks the flags.
func (i *importing) Validate() error {
	_, err := encodingOf(i.encoding)
	switch {
	case err != nil:
		return err
	case i.output != "yaml" && i.output != "json":
		return fmt.Errorf("--output is %q: it must be yaml or json", i.output)
	case !i.apply && (i.dryRun || i.force):
		return errors.New("--dry-run and --force-conflicts go with --apply")
	}
	return nil
}

// Run reads the whole file before it does anything.
func (i *importing) Run(ctx context.Context) error {
	in := i.In
	if i.file != "-" {
		file, err := os.Open(i.file)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	text, err := decode(in, i.encoding)
	if err != nil {
		return err
	}
	lines, err := parse(text)
	if err != nil {
		return err
	}
	if i.apply {
		return i.applyAll(ctx, lines)
	}
	return i.print(lines)
}

// object is what is applied: what the file says, and not what the types' zero values would add.
func (i *importing) object(user *v1alpha1.RelayUser, namespace string) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(user)
	if err != nil {
		return nil, fmt.Errorf("encode relayuser %s: %w", user.Name, err)
	}
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("RelayUser"))
	object.SetNamespace(namespace)
	unstructured.RemoveNestedField(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	return object, nil
}

// print writes YAML documents, or one JSON list. Without -n the objects name no namespace, as is usual in Git.
func (i *importing) print(lines []line) error {
	namespace := ""
	if i.ExplicitNamespace {
		namespace = i.Namespace
	}
	out := i.Terminal.Writer()
	items := []any{}
	for n := range lines {
		object, err := i.object(&lines[n].user, namespace)
		if err != nil {
			return err
		}
		if i.output == "json" {
			items = append(items, object.Object)
			continue
		}
		if err := writeYAML(out, object.Object); err != nil {
			return err
		}
	}
	if i.output == "yaml" {
		return nil
	}
	list, err := screen.JSON(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return err
	}
	_, err = out.Write(list)
	return err
}

func writeYAML(out io.Writer, object map[string]any) error {
	document, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "---\n%s", document)
	return err
}

// applyAll has the API server check every line, and applies none unless all are good.
func (i *importing) applyAll(ctx context.Context, lines []line) error {
	var err error
	if i.client, err = i.Client(); err != nil {
		return err
	}
	if err := i.each(ctx, lines, client.DryRunAll); err != nil {
		return err
	}
	if i.dryRun {
		return i.tell(len(lines), "is good; nothing was changed (dry run).", "are good; nothing was changed (dry run).",
			"%d 件のユーザに問題はありません。変更は行っていません（dry run）。\n")
	}
	if err := i.confirm(ctx, len(lines)); err != nil {
		return err
	}
	if err := i.each(ctx, lines); err != nil {
		return fmt.Errorf("the cluster has changed since it was checked: lines that are not named here were applied; mend these, and import again: %w", err)
	}
	return i.tell(len(lines), "was applied.", "were applied.", "%d 件のユーザは正常に更新されました。\n")
}

// tell says what became of so many users.
func (i *importing) tell(count int, one, several, japanese string) error {
	english := words.Plural(count, "%d user "+one+"\n", "%d users "+several+"\n")
	return i.Terminal.Printf(i.Lang.Of(english, japanese), count)
}

func (i *importing) confirm(ctx context.Context, count int) error {
	return i.Confirm(ctx, i.yes, i.Lang.Sprintf(words.Plural(count, "Apply %d user to namespace %s?", "Apply %d users to namespace %s?"),
		"%d 件のユーザを名前空間 %s に反映させます。よろしいですか?", count, i.Namespace))
}

// each applies every line. Its error is problems, or one that is of no line, such as of RBAC.
func (i *importing) each(ctx context.Context, lines []line, options ...client.ApplyOption) error {
	options = append(options, client.FieldOwner(shell.FieldOwner))
	if i.force {
		options = append(options, client.ForceOwnership)
	}
	var mu sync.Mutex
	var wrong problems
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for n := range lines {
		group.Go(func() error {
			object, err := i.object(&lines[n].user, i.Namespace)
			if err != nil {
				return err
			}
			err = i.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
			if !isOfLine(err) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			wrong = append(wrong, problemsOf(lines[n].number, err)...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	slices.SortStableFunc(wrong, func(a, b problem) int { return a.line - b.line })
	return asError(wrong)
}

// isOfLine tells a mistake in a line from what is wrong with all of them.
func isOfLine(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsConflict(err) || apierrors.IsBadRequest(err)
}

// problemsOf are what the API server says of a line, each with the column that it is about.
func problemsOf(number int, err error) problems {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		return problems{{line: number, err: err}}
	}
	var wrong problems
	for _, cause := range status.Status().Details.Causes {
		wrong = append(wrong, problem{number, columnOf(cause), errors.New(cause.Message)})
	}
	return wrong
}

// paths are the fields of the columns that the API server checks further than parse does.
var paths = map[string]string{
	"spec.serverRef": "server", "spec.userName": "userName", "spec.type": "type", "spec.memo": "memo",
	"spec.validUntil": "validUntil", "spec.validFrom": "validFrom", "spec.minimumDeviceKind": "minimumDeviceKind",
	"spec.password": "passwordSecret", "spec.password.secretRef.name": "passwordSecret", "spec.suspended": "suspended",
	"spec.programs.viewer.combined": "combined", "spec.programs.viewer.mobile": "mobile", "spec.programs.viewer.unbound": "unbound",
	"spec.programs.client": "client", "spec.passwordSaving.login": "saveLogin", "spec.passwordSaving.windows": "saveWindows",
	"spec.network.viewer.allowedCIDRs": "viewerCIDRs", "spec.network.viewer.allowedMACs": "viewerMACs",
	"spec.network.client.allowedCIDRs": "clientCIDRs", "spec.network.client.allowedMACs": "clientMACs", "metadata.name": "name",
	"metadata": "name", "metadata.labels": "labels", "spec.endSessionsBefore": "endSessionsBefore",
}

func columnOf(cause metav1.StatusCause) string {
	field := cause.Field
	field = strings.TrimPrefix(field, ".")
	for end := len(field); end > 0; end-- {
		if c, known := paths[field[:end]]; known && (end == len(field) || field[end] == '.' || field[end] == '[') {
			return c
		}
	}
	return field
}

package users

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

const exportExample = `  # for a spreadsheet
  kubectl relay users export --bom > users.csv
  # for Excel where numbers have a decimal comma, as in Germany
  kubectl relay users export --bom --delimiter ';' > users.csv
  # for Excel in Japan
  kubectl relay users export --encoding shift_jis > users.csv
  # for Git
  kubectl relay users export -o yaml > users.yaml`

type exporting struct {
	*shell.Shell
	encoding string
	output   string
	bom      bool
	comma    string
	server   string
	selector string
	labels   labels.Selector
}

func exportCommand(s *shell.Shell) *cobra.Command {
	e := &exporting{Shell: s}
	cmd := &cobra.Command{
		Use: "export", Short: "Write the users of a namespace as CSV, or as YAML", Example: exportExample,
		Args: cobra.NoArgs, RunE: s.Run(e),
	}
	flags := cmd.Flags()
	flags.StringVar(&e.encoding, "encoding", "utf-8", "Encoding of CSV: utf-8 or shift_jis")
	flags.BoolVar(&e.bom, "bom", false, "Begin CSV with a byte order mark, by which Excel knows UTF-8")
	flags.StringVar(&e.comma, "delimiter", ",", "What is between the fields of CSV: , or ; or tab")
	flags.StringVarP(&e.output, "output", "o", "csv", "Format: csv or yaml")
	flags.StringVar(&e.server, "relay-server", "", "Users of this RelayServer only")
	flags.StringVarP(&e.selector, "selector", "l", "", "Users with these labels only")
	for name, choices := range map[string][]string{"encoding": {"utf-8", "shift_jis"}, "output": {"csv", "yaml"}, "delimiter": screen.Delimiters} {
		_ = cmd.RegisterFlagCompletionFunc(name, shell.CompleteWords(choices...)) // the flag is above
	}
	_ = cmd.RegisterFlagCompletionFunc("relay-server", s.CompleteServer) // the flag is above
	return cmd
}

// Complete reads the selector.
func (e *exporting) Complete([]string) error {
	var err error
	if e.labels, err = labels.Parse(e.selector); err != nil {
		return fmt.Errorf("--selector: %w", err)
	}
	return nil
}

// Validate checks the flags.
func (e *exporting) Validate() error {
	encoding, err := encodingOf(e.encoding)
	switch {
	case err != nil:
		return err
	case e.output != "csv" && e.output != "yaml":
		return fmt.Errorf("--output is %q: it must be csv or yaml", e.output)
	case e.output == "yaml" && encoding != encodings["utf-8"]:
		return errors.New("YAML is in UTF-8: --encoding is for CSV")
	case e.bom && (e.output != "csv" || encoding != encodings["utf-8"]):
		return errors.New("--bom is for CSV in UTF-8")
	}
	_, err = screen.Delimiter(e.comma)
	return err
}

// Run writes page by page.
func (e *exporting) Run(ctx context.Context) error {
	c, err := e.Client()
	if err != nil {
		return err
	}
	var sink func(*v1alpha1.RelayUser) error
	finish := func() error { return nil }
	if e.output == "yaml" {
		sink = e.yaml()
	} else if sink, finish, err = e.csv(); err != nil {
		return err
	}
	options := []client.ListOption{client.MatchingLabelsSelector{Selector: e.labels}}
	if e.server != "" {
		options = append(options, client.MatchingFields{"spec.serverRef.name": e.server})
	}
	if err := e.EachUser(ctx, c, sink, options...); err != nil {
		return err
	}
	return finish()
}

// yaml writes what a person would have written, without what the cluster has added.
func (e *exporting) yaml() func(*v1alpha1.RelayUser) error {
	out := e.Terminal.Writer()
	i := &importing{Shell: e.Shell}
	namespace := ""
	if e.ExplicitNamespace {
		namespace = e.Namespace
	}
	return func(user *v1alpha1.RelayUser) error {
		bare := &v1alpha1.RelayUser{Spec: user.Spec}
		bare.Name, bare.Labels = user.Name, user.Labels
		if bare.Spec.Type == v1alpha1.UserTypeGeneral {
			bare.Spec.Type = ""
		}
		object, err := i.object(bare, namespace)
		if err != nil {
			return err
		}
		return writeYAML(out, object.Object)
	}
}

// csv writes a line a user, fields marked so that a spreadsheet computes nothing.
func (e *exporting) csv() (line func(*v1alpha1.RelayUser) error, finish func() error, err error) {
	encoding, err := encodingOf(e.encoding)
	if err != nil {
		return nil, nil, err
	}
	out := e.Terminal.Writer()
	if e.bom {
		if _, err := io.WriteString(out, "\ufeff"); err != nil {
			return nil, nil, err
		}
	}
	if encoding != encodings["utf-8"] {
		out = encoding.NewEncoder().Writer(out)
	}
	sheet := csv.NewWriter(out)
	if sheet.Comma, err = screen.Delimiter(e.comma); err != nil {
		return nil, nil, err
	}
	sheet.UseCRLF = !e.Terminal.IsTerminal()
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = c.name
	}
	if err := sheet.Write(head); err != nil {
		return nil, nil, err
	}
	return func(user *v1alpha1.RelayUser) error {
			row := make([]string, len(columns))
			for i, c := range columns {
				row[i] = screen.CSVField(c.get(user))
			}
			return e.encodable(encoding.NewEncoder().String, user.Name, row, sheet)
		}, func() error {
			sheet.Flush()
			return sheet.Error()
		}, nil
}

// encodable refuses to write a character that the encoding does not have: what is exported must be importable.
func (e *exporting) encodable(encode func(string) (string, error), name string, row []string, sheet *csv.Writer) error {
	at := slices.IndexFunc(row, func(field string) bool {
		_, err := encode(field)
		return err != nil
	})
	if at >= 0 {
		return fmt.Errorf("relayuser %s: the field %s has a character that %s does not have: export in utf-8, with --bom for Excel", name, columns[at].name, e.encoding)
	}
	return sheet.Write(row)
}

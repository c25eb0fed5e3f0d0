package historyserver

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
)

// none is in a cell of which there is nothing to say.
const none = "-"

// column is one column of a table.
type column[T any] struct {
	name, kind, description string
	wide                    bool // shown with -o wide only
	cell                    func(*T) any
}

// recordColumns are those of the manual's page, and what a detailed view of it shows. An object's name tells
// nothing to a person, so it is, as in a list of Events, among the wide ones.
var recordColumns = []column[v1alpha1.AccessRecord]{
	{"Start", "string", "When the attempt began, in UTC.", false, func(r *v1alpha1.AccessRecord) any { return clock(&r.StartTime) }},
	{"End", "string", "When the connection ended, in UTC; open while it lasts.", false, endCell},
	{"Duration", "string", "For how long the connection has lasted; - for a failure.", false, func(r *v1alpha1.AccessRecord) any { return length(r.Duration) }},
	{"User", "string", "The RelayUser; in parentheses the login name of nobody.", false, userCell},
	{"Source", "string", "The person's IP address.", false, func(r *v1alpha1.AccessRecord) any { return cmp.Or(r.SourceAddress, none) }},
	{"MAC", "string", "The MAC address that the device reports.", false, func(r *v1alpha1.AccessRecord) any { return cmp.Or(r.MACAddress, none) }},
	{"Result", "string", "Success, or why the attempt was denied.", false, func(r *v1alpha1.AccessRecord) any { return cmp.Or(r.Reason, string(r.Result)) }},
	{"Destination", "string", "The client that a viewer wanted to reach.", true, func(r *v1alpha1.AccessRecord) any { return cmp.Or(r.Destination, none) }},
	{"Source-Viewer", "string", "The viewer that reached a client.", true, func(r *v1alpha1.AccessRecord) any { return cmp.Or(r.SourceViewer, none) }},
	{"Server", "string", "The RelayServer.", true, func(r *v1alpha1.AccessRecord) any { return r.Server }},
	{"Program", "string", "What connected.", true, programCell},
	{"Slot", "string", "The place of the device.", true, func(r *v1alpha1.AccessRecord) any { return cmp.Or(r.Slot, none) }},
	{"Listener", "string", "What answered.", true, func(r *v1alpha1.AccessRecord) any { return cmp.Or(r.Listener, none) }},
	{"Bytes", "string", "How many bytes came from the person and went to them.", true, bytesCell},
	{"End-Cause", "string", "How the connection came to its end.", true, func(r *v1alpha1.AccessRecord) any { return cmp.Or(string(r.End), none) }},
	{"Correlation-ID", "string", "The attempt's id in the sidecar's log.", true, func(r *v1alpha1.AccessRecord) any { return cmp.Or(r.CorrelationID, none) }},
	{"Name", "name", "The record's name.", true, func(r *v1alpha1.AccessRecord) any { return r.Name }},
}

var usageColumns = []column[v1alpha1.UserUsage]{
	{"Name", "name", "The RelayUser.", false, func(u *v1alpha1.UserUsage) any { return u.Name }},
	{"Connected", "string", "For how long the user has been connected in all.", false, func(u *v1alpha1.UserUsage) any { return length(&u.ConnectedTime) }},
	{"Attempts", "integer", "How many attempts there were.", false, func(u *v1alpha1.UserUsage) any { return u.Attempts }},
	{"Failures", "integer", "How many of them were denied.", false, func(u *v1alpha1.UserUsage) any { return u.Failures }},
	{"Last", "string", "When the newest attempt began, in UTC.", false, func(u *v1alpha1.UserUsage) any { return clock(u.LastTime) }},
	{"First", "string", "When the oldest attempt that is kept began, in UTC.", true, func(u *v1alpha1.UserUsage) any { return clock(u.FirstTime) }},
	{"Servers", "string", "The RelayServers.", true, func(u *v1alpha1.UserUsage) any { return strings.Join(u.Servers, ",") }},
}

func endCell(r *v1alpha1.AccessRecord) any {
	if r.EndTime == nil {
		return "open"
	}
	return clock(r.EndTime)
}

func userCell(r *v1alpha1.AccessRecord) any {
	switch {
	case r.User != "":
		return r.User
	case r.UserName != "":
		return "(" + r.UserName + ")"
	}
	return none
}

func programCell(r *v1alpha1.AccessRecord) any {
	if r.Program == "viewer" && r.Viewer != "" {
		return r.Program + "/" + r.Viewer
	}
	return cmp.Or(r.Program, none)
}

func bytesCell(r *v1alpha1.AccessRecord) any {
	if r.ReceivedBytes == 0 && r.SentBytes == 0 {
		return none
	}
	return fmt.Sprintf("%d/%d", r.ReceivedBytes, r.SentBytes)
}

// clock is a time as a person reads it. In which zone the person is, the server does not know.
func clock(t *metav1.MicroTime) string {
	if t == nil {
		return none
	}
	return t.UTC().Format(time.RFC3339)
}

// length is a duration in whole seconds, as 12m23s.
func length(d *metav1.Duration) string {
	if d == nil {
		return none
	}
	return d.Truncate(time.Second).String()
}

// ConvertToTable is what kubectl prints.
func (*records) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	switch o := object.(type) {
	case *v1alpha1.AccessRecordList:
		return table(recordColumns, options, o.ListMeta, o.Items, func(r *v1alpha1.AccessRecord) runtime.Object { return r }), nil
	case *v1alpha1.AccessRecord:
		return table(recordColumns, options, metav1.ListMeta{ResourceVersion: o.ResourceVersion}, []v1alpha1.AccessRecord{*o},
			func(r *v1alpha1.AccessRecord) runtime.Object { return r }), nil
	}
	return nil, fmt.Errorf("make a table of %T", object)
}

// ConvertToTable is what kubectl prints.
func (*usages) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	switch o := object.(type) {
	case *v1alpha1.UserUsageList:
		return table(usageColumns, options, o.ListMeta, o.Items, func(u *v1alpha1.UserUsage) runtime.Object { return u }), nil
	case *v1alpha1.UserUsage:
		return table(usageColumns, options, metav1.ListMeta{ResourceVersion: o.ResourceVersion}, []v1alpha1.UserUsage{*o},
			func(u *v1alpha1.UserUsage) runtime.Object { return u }), nil
	}
	return nil, fmt.Errorf("make a table of %T", object)
}

func table[T any](columns []column[T], options runtime.Object, meta metav1.ListMeta, items []T, object func(*T) runtime.Object) *metav1.Table {
	t := &metav1.Table{ListMeta: meta, Rows: make([]metav1.TableRow, len(items))}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		t.ColumnDefinitions = definitions(columns)
	}
	for i := range items {
		cells := make([]any, len(columns))
		for j, column := range columns {
			cells[j] = column.cell(&items[i])
		}
		t.Rows[i] = metav1.TableRow{Cells: cells, Object: runtime.RawExtension{Object: object(&items[i])}}
	}
	return t
}

func definitions[T any](columns []column[T]) []metav1.TableColumnDefinition {
	made := make([]metav1.TableColumnDefinition, len(columns))
	for i, column := range columns {
		made[i] = metav1.TableColumnDefinition{Name: column.name, Type: "string", Description: column.description}
		switch column.kind {
		case "name":
			made[i].Format = column.kind
		case "integer":
			made[i].Type = column.kind
		}
		if column.wide {
			made[i].Priority = 1
		}
	}
	return made
}

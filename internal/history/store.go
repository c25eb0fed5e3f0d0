package history

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"
)

// ErrNotFound says that there is no such record.
var ErrNotFound = errors.New("record not found")

// ErrTooOld says that the changes since a version are not all known any more: list anew.
var ErrTooOld = errors.New("changes since that version are not kept any more")

// Store keeps records. It is safe for concurrent use. An error of any method may be temporary.
type Store interface {
	// Put keeps records, each merged with what is kept of the same Namespace and ID, and the usage of their users
	// with them: all or nothing, on disk when it returns. Records may come in any order, and again. Those that began
	// before their user was forgotten, or before the time that Expire was last told of their server, are left out;
	// so is one that is kept as another server's, for no relay may change what is told of another, and one that
	// contradicts what is kept (Contradict).
	Put(ctx context.Context, records []Record) (Stored, error)
	// Get is one record. Its error is ErrNotFound when there is none.
	Get(ctx context.Context, namespace string, id ID) (Record, error)
	// List is a page of records. It takes a bounded time however many records there are.
	List(ctx context.Context, q Query) (Page, error)
	// Usages is a page of what users have used. Records that are nobody's are in none.
	Usages(ctx context.Context, q UsageQuery) (UsagePage, error)

	// Servers are the RelayServers of which there may be records, in the order of their namespaces and names. One whose
	// last record is gone may be among them; one that has a record is.
	Servers(ctx context.Context) ([]ServerName, error)

	// Version is that of the newest change. Versions of one database only ever grow.
	Version(ctx context.Context) (uint64, error)
	// Changes are those after a version, oldest first, at most limit of them. It waits until there is one, or ctx
	// ends. Its error is ErrTooOld when some of them are forgotten: only recent ones are kept.
	Changes(ctx context.Context, after uint64, limit int) ([]Change, error)

	// CloseLost ends the connections of which no end was told before the time, at most limit of them, and says how
	// many.
	CloseLost(ctx context.Context, expired time.Time, limit int) (int, error)
	// Forget erases what is kept of a user, and has records of the user that began before now left out from now on.
	// It says how many records there were. Changes tells of each as deleted, or has who follows list anew.
	Forget(ctx context.Context, who Person, now time.Time) (int, error)
	// Expire drops the months of a server's records that were over before a time. It says how many records there were.
	// Changes tells of them as Forget does.
	Expire(ctx context.Context, namespace, server string, before time.Time) (int, error)

	// Ping says whether the database answers.
	Ping(ctx context.Context) error
	Close() error
}

// ServerName names a RelayServer.
type ServerName struct{ Namespace, Name string }

// Compare orders by the namespaces, and then the names.
func (n ServerName) Compare(o ServerName) int {
	return cmp.Or(strings.Compare(n.Namespace, o.Namespace), strings.Compare(n.Name, o.Name))
}

// Person is who is to be forgotten. Records are the person's by the RelayUser's name, or by the login name as typed
// where it is not empty.
type Person struct{ Namespace, User, UserName string }

// Stored is what came of a Put. The numbers add up to how many records were given.
type Stored struct {
	// New were not kept before; Changed were, and have changed; Same were told before; Dropped were left out.
	New, Changed, Same, Dropped int
}

// ChangeType is what happened to a record.
type ChangeType string

// The types of changes.
const (
	Added    ChangeType = "Added"
	Modified ChangeType = "Modified"
	Deleted  ChangeType = "Deleted"
)

// Change is one change of one record.
type Change struct {
	Version uint64
	Type    ChangeType
	Record  Record // as it is after the change; before it, when it was deleted
}

// Package sqlite keeps the access history in SQLite files: one a month, by the UTC month in which an attempt began,
// so that a month is dropped by removing a file, and one for what outlives them. docs/history-storage.md describes
// them.
//
// The directory is one process's. The package must not know who sends records or who asks for them, and must not
// keep a name in memory for longer than its month's file is open.
package sqlite

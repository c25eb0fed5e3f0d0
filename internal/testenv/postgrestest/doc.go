// Package postgrestest owns the real PostgreSQL server that tests and benchmarks run against: Debian's, in a
// directory of its own, reached through a Unix socket in it, which a test may kill and start again.
//
// It must not be imported by anything that ships, and knows nothing of what is kept in the databases.
package postgrestest

//go:build !unix

package spool

import "os"

// flock does nothing where there is no flock: two sidecars must not be given one directory there.
func flock(*os.File) error { return nil }

package spool

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// runAs makes this test binary be a process that appends until it is killed.
const runAs = "TEGATA_TEST_SPOOL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(runAs); dir != "" {
		appendForEver(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

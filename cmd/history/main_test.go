package main

import (
	"os"
	"testing"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// runAs makes this test binary be the history server.
const runAs = "TEGATA_TEST_RUN_AS"

func TestMain(m *testing.M) {
	if os.Getenv(runAs) == "history" {
		main()
		return
	}
	os.Exit(testenv.Run(m))
}

package testenv_test

import (
	"os"
	"testing"

	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanParent) != "" {
		os.Exit(parentOfOrphans())
	}
	os.Exit(testenv.Run(m))
}

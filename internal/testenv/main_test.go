package testenv_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanParent) != "" {
		os.Exit(parentOfOrphans())
	}
	goleak.VerifyTestMain(tests{m})
}

// tests has goleak look after the shared control plane is stopped, so that it finds what that left.
type tests struct{ *testing.M }

func (t tests) Run() int { return testenv.Run(t.M) }

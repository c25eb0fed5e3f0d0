package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// tests runs the tests of the package with a control plane.
type tests struct{ *testing.M }

func (t tests) Run() int {
	code := testenv.Run(t.M)
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir)
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"kubectl-relay":          main,
		"kubectl_complete-relay": main,
	})
}

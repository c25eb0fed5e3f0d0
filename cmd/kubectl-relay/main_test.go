package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// tests runs the tests of the package with a control plane.
type tests struct{ *testing.M }

func (t tests) Run() int { return testenv.Run(t.M) }

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"kubectl-relay":          main,
		"kubectl_complete-relay": main,
	})
}

package main

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// runAs makes this test binary be something else: "sidecar", or "libraries", which only log.
const runAs = "TEGATA_TEST_RUN_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(runAs) {
	case "sidecar":
		main()
	case "libraries":
		newLogger(&options{logLevel: "info"})
		klog.InfoS("from client-go")
		ctrllog.Log.Info("from controller-runtime")
	default:
		ctrllog.SetLogger(logr.Discard()) // or it complains, after half a minute
		goleak.VerifyTestMain(m)
	}
}

package main

import (
	"os"
	"testing"

	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

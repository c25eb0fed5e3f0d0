//go:build !linux

package main

import (
	"errors"
	"runtime"
)

func yieldCores() error { return errors.New("not known how on " + runtime.GOOS) }

//go:build linux

package main

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) {
	if isRole(os.Args) {
		os.Exit(exitStatus(play(context.Background(), os.Args[1], os.Args[2])))
	}
	goleak.VerifyTestMain(m, leak.GoMicro()...)
}

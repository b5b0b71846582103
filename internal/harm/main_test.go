package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, leak.GoMicro()...) }

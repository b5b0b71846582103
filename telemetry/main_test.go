package telemetry_test

import (
	"testing"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) { fixture.Main(m, fixture.WithLeakOptions(leak.Hystrix()...)) }

// Package clients shows what the wrapper does for go-micro's other clients, and
// beside the wrapper that people have around them already.
package clients

import (
	"testing"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) { fixture.Main(m, fixture.WithLeakOptions(leak.Hystrix()...)) }

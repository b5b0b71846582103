package oncemore_test

import (
	"testing"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) {
	fixture.Main(m,
		fixture.WithLeakOptions(leak.GoMicro()...),
		fixture.WithLeakOptions(leak.HTTPBroker()...),
		fixture.WithLeakOptions(leak.Hystrix()...))
}

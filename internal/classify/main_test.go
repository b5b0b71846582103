package classify_test

import (
	"testing"

	"github.com/oncemore-dev/oncemore/internal/fixture"
)

func TestMain(m *testing.M) { fixture.Main(m) }

// Package dashboards shows that what the folder dashboards ships works: the rules pass
// promtool, and every query of the dashboard and of the rules finds what it asks for in a
// Prometheus that has watched instances of the examples' service die.
package dashboards

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root is the folder of the root module, and shipped what is tested.
const (
	root    = "../../../"
	shipped = root + "dashboards/"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

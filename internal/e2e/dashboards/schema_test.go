package dashboards

import (
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestSchema: Grafana knows every field of the dashboard, and none that it needs is missing.
func TestSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard //nolint:staticcheck // Grafana 11 knows this model only, and 12 this one too
	if err := d.UnmarshalJSONStrict([]byte(read(t, shipped+"oncemore.json"))); !isNone(err) {
		t.Error(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

// isNone tells whether err is nil, or a list of no errors.
func isNone(err error) bool {
	errs, ok := err.(cog.BuildErrors)
	return err == nil || ok && len(errs) == 0
}

// TestPanels: each has a number of its own, and lies on no other.
func TestPanels(t *testing.T) {
	type cell struct{ x, y int } // a unit in which Grafana places panels
	ids, taken := make(map[int]bool), make(map[cell]string)
	for _, panel := range readBoard(t).Panels {
		if ids[panel.ID] {
			t.Errorf("%s: there is another panel %d", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		place := panel.Place
		for y := range place.H {
			for x := range place.W {
				at := cell{place.X + x, place.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("%s lies on %s", panel.Title, other)
				}
				taken[at] = panel.Title
			}
		}
	}
	if len(taken) == 0 {
		t.Error("there are no panels")
	}
}

//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
)

// TestNoHarm is the short form of the matrix, with the program as users have it:
// the race detector would make it a comparison of who suffers more from that.
func TestNoHarm(t *testing.T) {
	program := filepath.Join(t.TempDir(), "harm")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program, "-short").CombinedOutput()
	t.Logf("\n%s", out)
	if err != nil {
		t.Errorf("got %v, want no harm", err)
	}
}

// TestEveryPairMeets, unless it is impossible, in the matrix of any seed.
func TestEveryPairMeets(t *testing.T) {
	for seed := range uint64(5) {
		cells, err := matrix(seed)
		if err != nil {
			t.Fatal(err)
		}
		met := make(map[[2]string]bool)
		for _, c := range cells {
			if !c.cell.Valid() {
				t.Errorf("seed %d: cell %d, %v, is not valid", seed, c.number, c.cell)
			}
			for _, a := range c.cell.Values() {
				for _, b := range c.cell.Values() {
					met[[2]string{a, b}] = true
				}
			}
		}
		for i, d := range cell.Dimensions() {
			for _, e := range cell.Dimensions()[:i] {
				checkMet(t, met, d, e)
			}
		}
	}
}

func checkMet(t *testing.T, met map[[2]string]bool, d, e cell.Dimension) {
	t.Helper()
	for _, v := range d.Values {
		for _, w := range e.Values {
			if got, want := met[[2]string{v, w}], cell.Possible(v, w); got != want {
				t.Errorf("%s meets %s: %v, want %v", v, w, got, want)
			}
		}
	}
}

// TestShortFormHasEveryValue, whatever the seed.
func TestShortFormHasEveryValue(t *testing.T) {
	for seed := range uint64(5) {
		cells, err := config{seed: seed, short: true}.chosen()
		if err != nil {
			t.Fatal(err)
		}
		if len(cells) != shortCells {
			t.Errorf("seed %d: %d cells, want %d", seed, len(cells), shortCells)
		}
		seen := make(map[string]bool)
		for _, c := range cells {
			for _, v := range c.cell.Values() {
				seen[v] = true
			}
		}
		for _, d := range cell.Dimensions() {
			for _, v := range d.Values {
				if !seen[v] {
					t.Errorf("seed %d: no cell has %s %s", seed, d.Name, v)
				}
			}
		}
	}
}

func TestChoose(t *testing.T) {
	cells := []numbered{
		{1, cell.New([]string{cell.Slow, cell.Healthy, cell.GRPC, cell.Safe, cell.Plain})},
		{2, cell.New([]string{cell.Fast, cell.OneDead, cell.GRPC, cell.Safe, cell.Proxy})},
		{12, cell.New([]string{cell.Fast, cell.OneDead, cell.MUCP, cell.Keyed, cell.Proxy})},
	}
	for list, want := range map[string][]int{
		"":                              {1, 2, 12},
		"2":                             {2},
		"12, 1":                         {1, 12},
		"grpc":                          {1, 2},
		"fast, one dead,mucp":           {12},
		"slow,moved,http,neither,plain": {0},
		"slow,moved,http,keyed,plain":   nil, // impossible
		"3":                             nil,
		"quick":                         nil,
	} {
		got, err := choose(cells, list)
		if (err == nil) != (want != nil) {
			t.Errorf("%q: error %v, want cells %v", list, err, want)
		}
		if len(got) != len(want) {
			t.Errorf("%q: got %v, want %v", list, got, want)
			continue
		}
		for i := range got {
			if got[i].number != want[i] {
				t.Errorf("%q: got %v, want %v", list, got, want)
			}
		}
	}
}

func TestWrongFlags(t *testing.T) {
	for want, args := range map[string][]string{
		`-cells "fats"`:     {"-cells", "fats"},
		"-length -1s":       {"-length", "-1s"},
		"-length 2h0m0s":    {"-length", "2h"},
		`argument "fast"`:   {"fast"},
		"-seed":             {"-seed", "x"},
		"not defined: -all": {"-all"},
	} {
		err := start(t.Context(), args, io.Discard)
		if !errors.Is(err, errUsage) {
			t.Errorf("%v: error %v, want %v", args, err, errUsage)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want one with %q", args, err, want)
		}
	}
}

func TestListSaysWhatIsImpossible(t *testing.T) {
	var out bytes.Buffer
	if err := start(t.Context(), []string{"-list"}, &out); err != nil {
		t.Fatal(err)
	}
	if want := "impossible: http with keyed: "; !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant a line with %q", &out, want)
	}
}

package pairwise_test

import (
	"reflect"
	"testing"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/harm/pairwise"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func all(int, int, int, int) bool { return true }

// notFirst forbids the first values of the first two dimensions to meet.
func notFirst(d, v, e, w int) bool { return d > 1 || e > 1 || v > 0 || w > 0 }

func TestEveryPossiblePairMeets(t *testing.T) {
	for name, tt := range map[string]struct {
		sizes    []int
		possible func(d, v, e, w int) bool
	}{
		"two dimensions":          {[]int{3, 4}, all},
		"one value":               {[]int{1, 1, 1}, all},
		"that of the tool":        {[]int{7, 9, 3, 3, 5}, all},
		"with an impossible pair": {[]int{7, 9, 3, 3, 5}, notFirst},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				got, err := pairwise.Generate(tt.sizes, tt.possible, nil, seed)
				if err != nil {
					t.Fatal(err)
				}
				checkPairs(t, got, tt.sizes, tt.possible)
			}
		})
	}
}

func checkPairs(t *testing.T, got [][]int, sizes []int, possible func(d, v, e, w int) bool) {
	t.Helper()
	for d := range sizes {
		for e := d + 1; e < len(sizes); e++ {
			met := make(map[[2]int]bool)
			for _, c := range got {
				met[[2]int{c[d], c[e]}] = true
			}
			for v := range sizes[d] {
				for w := range sizes[e] {
					if want := possible(d, v, e, w); met[[2]int{v, w}] != want {
						t.Errorf("value %d of dimension %d meets value %d of %d: %v, want %v", v, d, w, e, !want, want)
					}
				}
			}
		}
	}
}

func TestFewCombinations(t *testing.T) {
	got, err := pairwise.Generate([]int{7, 9, 3, 3, 5}, all, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	// 63 is the least that can be, all combinations are 2,835.
	if len(got) > 75 {
		t.Errorf("%d combinations, want at most 75", len(got))
	}
}

// TestPrefixIsAChoice: a short form takes the first ones.
func TestPrefixIsAChoice(t *testing.T) {
	sizes := []int{7, 9, 3, 3, 5}
	got, err := pairwise.Generate(sizes, all, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	for d, size := range sizes {
		seen := make(map[int]bool)
		for _, c := range got[:18] {
			seen[c[d]] = true
		}
		if len(seen) != size {
			t.Errorf("the first 18 have %d values of dimension %d, want %d", len(seen), d, size)
		}
	}
}

func TestSameSeedSameCombinations(t *testing.T) {
	sizes := []int{7, 9, 3, 3, 5}
	first, err := pairwise.Generate(sizes, all, nil, 7)
	if err != nil {
		t.Fatal(err)
	}
	second, err := pairwise.Generate(sizes, all, nil, 7)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, second) {
		t.Errorf("got %v and %v, want the same", first, second)
	}
}

// TestFirstComeFirst, and what they cover is not covered again.
func TestFirstComeFirst(t *testing.T) {
	first := [][]int{{1, 1, 1}, {0, 1, 0}}
	got, err := pairwise.Generate([]int{2, 2, 2}, all, first, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < 2 || !reflect.DeepEqual(got[:2], first) {
		t.Fatalf("got %v, want it to begin with %v", got, first)
	}
	checkPairs(t, got, []int{2, 2, 2}, all)
	if len(got) > 5 {
		t.Errorf("%d combinations, want at most 5", len(got))
	}
}

// TestImpossibleRest: each pair is possible, and no whole combination is.
func TestImpossibleRest(t *testing.T) {
	possible := func(d, v, e, w int) bool {
		if d != 0 || v != 0 {
			return true
		}
		return e == 1 && w == 0 // value 0 of dimension 0 meets nothing of dimension 2
	}
	if got, err := pairwise.Generate([]int{2, 2, 2}, possible, nil, 1); err == nil {
		t.Errorf("got %v, want an error", got)
	}
}

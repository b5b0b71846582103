package judge

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestFewer against values of R: fisher.test(matrix(c(a, b, c, d), 2), alternative = "less").
func TestFewer(t *testing.T) {
	for name, tt := range map[string]struct {
		table table
		want  float64
	}{
		"the lady tasting tea": {table{1, 4, 3, 4}, 17.0 / 70},
		"none against all":     {table{0, 4, 4, 4}, 1.0 / 70},
		"equal and sure":       {table{10, 10, 10, 10}, 1},
		"no calls":             {table{}, 1},
		"more than bare":       {table{4, 4, 0, 4}, 1},
	} {
		if got := tt.table.fewer(); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: fewer %v, want %v", name, got, tt.want)
		}
	}
}

// TestMoreIsFewerOfTheOthers: more answered is fewer that are not.
func TestMoreIsFewerOfTheOthers(t *testing.T) {
	for range 1000 {
		n, m := 1+rand.IntN(50), 1+rand.IntN(50)
		c := table{rand.IntN(n + 1), n, rand.IntN(m + 1), m}
		if got, want := c.more(), c.others().fewer(); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%+v: more %v, want %v", c, got, want)
		}
	}
}

// TestLevelHolds: of equal arms, no larger a share is found guilty than the level.
func TestLevelHolds(t *testing.T) {
	const runs, calls, level = 4000, 200, 0.05
	random := rand.New(rand.NewPCG(1, 1))
	answered := func() int {
		n := 0
		for range calls {
			if random.Float64() < 0.8 {
				n++
			}
		}
		return n
	}
	guilty, guiltyInAll := 0, 0
	for range runs {
		some := []table{{answered(), calls, answered(), calls}, {answered(), calls, answered(), calls}}
		if some[0].fewer() < level {
			guilty++
		}
		if fewerInAll(some) < level {
			guiltyInAll++
		}
	}
	const most = 1.2 * level * runs
	if float64(guilty) > most {
		t.Errorf("one cell: %d of %d equal pairs are found guilty, want at most %v", guilty, runs, most)
	}
	if float64(guiltyInAll) > most {
		t.Errorf("two cells: %d of %d equal pairs are found guilty, want at most %v", guiltyInAll, runs, most)
	}
}

// TestFewerInAll sees what is too little in any one cell.
func TestFewerInAll(t *testing.T) {
	one := table{232, 240, 239, 240}
	const level = 1e-4
	if got := one.fewer(); got < level {
		t.Errorf("one cell: %v, want more than %v", got, level)
	}
	many := make([]table, 10)
	for i := range many {
		many[i] = one
	}
	if got := fewerInAll(many); got >= level {
		t.Errorf("ten cells: %v, want less than %v", got, level)
	}
	if got := fewerInAll([]table{{10, 10, 10, 10}, {}}); got != 1 {
		t.Errorf("nothing failed: %v, want 1", got)
	}
}

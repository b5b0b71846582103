// Package judge decides whether a cell, or the matrix, shows harm.
//
// Level is the probability that a matrix of two equal arms fails; it is divided
// by the number of tests (Bonferroni). A cell shows harm if the wrapped arm
//
//   - answers fewer of the expected calls, by Fisher's exact test;
//   - returns more calls than the bare arm later than Grace after their deadline,
//     or later than the bare arm's latest if that is more, by the same test; or a
//     single one later than Stuck where the bare arm has fewer of those;
//   - executes an order again that may run once: a single one more than the bare
//     arm, or, where services call services, so that bare clients do it too, more
//     by the same test;
//   - ends otherwise than by itself.
//
// Over those cells of one value that show no harm, and over all such, fewer answers
// and more repetitions are tested once more, by the test of Cochran, Mantel and
// Haenszel. A cell whose bare arm answers
// less than a tenth of its calls shows nothing, which is a failure too.
package judge

import (
	"fmt"
	"time"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/outcome"
)

const (
	// Level is how probable it may be that a matrix without harm fails.
	Level = 0.01
	// Grace is how long after its deadline a call may return: two cores are busy
	// with a dozen processes.
	Grace = 50 * time.Millisecond
	// Stuck is what no caller may wait beyond its deadline, however rarely.
	Stuck = time.Second
)

// testsPerCell are answers, lateness and repetition.
const testsPerCell = 3

// testsPerGroup are answers and repetition.
const testsPerGroup = 2

// Pair is the outcome of both arms of a cell.
type Pair struct {
	Cell          cell.Cell
	Bare, Wrapped outcome.Result
	// Broken says why there is no outcome; empty if there is.
	Broken string
}

// Judge judges a matrix of a given size.
type Judge struct{ level float64 }

// New returns the judge of a matrix with that many cells.
func New(cells int) Judge {
	groups := 1 // all cells
	for _, d := range cell.Dimensions() {
		groups += len(d.Values)
	}
	return Judge{Level / float64(testsPerCell*cells+testsPerGroup*groups)}
}

// Cell returns what is wrong with a cell, nothing if it shows no harm.
func (j Judge) Cell(p Pair) []string {
	if p.Broken != "" {
		return []string{p.Broken}
	}
	var found []string
	for _, check := range []func(Pair) string{j.proves, j.answers, j.stuck, j.late, j.repeats} {
		if harm := check(p); harm != "" {
			found = append(found, harm)
		}
	}
	return found
}

func (j Judge) proves(p Pair) string {
	calls, answered := p.Bare.Expected()
	if answered*10 >= calls {
		return ""
	}
	return fmt.Sprintf("shows nothing: bare answers %d of %d", answered, calls)
}

func answers(p Pair) table {
	var t table
	t.bareCalls, t.bare = p.Bare.Expected()
	t.wrappedCalls, t.wrapped = p.Wrapped.Expected()
	return t
}

func (j Judge) answers(p Pair) string {
	t := answers(p)
	if t.fewer() >= j.level {
		return ""
	}
	return fmt.Sprintf("answers %d of %d, bare %d of %d", t.wrapped, t.wrappedCalls, t.bare, t.bareCalls)
}

func (j Judge) stuck(p Pair) string {
	wrapped, bare := p.Wrapped.LaterThan(Stuck), p.Bare.LaterThan(Stuck)
	if wrapped <= bare {
		return ""
	}
	return fmt.Sprintf("%d calls return more than %v after their deadline or never, bare %d", wrapped, Stuck, bare)
}

func (j Judge) late(p Pair) string {
	limit := max(Grace, p.Bare.Latest())
	t := table{
		wrapped: p.Wrapped.LaterThan(limit), wrappedCalls: len(p.Wrapped.Calls),
		bare: p.Bare.LaterThan(limit), bareCalls: len(p.Bare.Calls),
	}
	if t.more() >= j.level {
		return ""
	}
	return fmt.Sprintf("%d of %d calls return more than %v after their deadline, bare %d",
		t.wrapped, t.wrappedCalls, limit.Round(time.Millisecond), t.bare)
}

// repeats is empty of a safe cell.
func repeats(p Pair) table {
	if p.Cell.Safety == cell.Safe {
		return table{}
	}
	return table{
		wrapped: p.Wrapped.Repeated, wrappedCalls: p.Wrapped.Executed,
		bare: p.Bare.Repeated, bareCalls: p.Bare.Executed,
	}
}

func (j Judge) repeats(p Pair) string {
	t := repeats(p)
	if t.wrapped <= t.bare || p.Cell.Nested() && t.more() >= j.level {
		return ""
	}
	return fmt.Sprintf("executes %d of %d orders again, bare %d of %d", t.wrapped, t.wrappedCalls, t.bare, t.bareCalls)
}

// Group returns what is wrong with cells that have something in common, nothing
// if they show no harm together.
func (j Judge) Group(name string, pairs []Pair) []string {
	var answered, once []table
	for _, p := range pairs {
		if p.Broken == "" {
			answered, once = append(answered, answers(p)), append(once, repeats(p).others())
		}
	}
	var found []string
	if fewerInAll(answered) < j.level {
		t := sum(answered)
		found = append(found, fmt.Sprintf("%s answers %d of %d, bare %d of %d",
			name, t.wrapped, t.wrappedCalls, t.bare, t.bareCalls))
	}
	if fewerInAll(once) < j.level {
		t := sum(once).others()
		found = append(found, fmt.Sprintf("%s executes %d of %d orders again, bare %d of %d",
			name, t.wrapped, t.wrappedCalls, t.bare, t.bareCalls))
	}
	return found
}

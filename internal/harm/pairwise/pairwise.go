// Package pairwise chooses few combinations of many values such that every two
// values of different dimensions meet in at least one of them. It is the greedy
// method of AETG (Cohen, Dalal, Fredman, Patton 1997): most faults need no more
// than two values to meet.
package pairwise

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// candidates is how many random combinations compete for each place.
const candidates = 50

// value is one value of one dimension.
type value struct{ dimension, index int }

// pair is two values of different dimensions, the lower dimension first.
type pair struct{ a, b value }

// generator keeps what has to meet still.
type generator struct {
	sizes    []int
	possible func(a, b value) bool
	open     map[pair]bool
	random   *rand.Rand
}

// Generate returns combinations, each with the index of one value for every
// dimension, whose number of values sizes gives. Every pair of values that
// possible allows meets in at least one, and no combination has a pair that it
// does not allow. Those in first are the first of them; they must be possible.
// possible(d, v, e, w) is asked about value v of dimension d and
// value w of dimension e. A prefix is a good choice too: after first come
// combinations with values that none before them has, then those with most new
// pairs. The same seed gives the same combinations. A pair that no whole
// combination can have is an error.
func Generate(sizes []int, possible func(d, v, e, w int) bool, first [][]int, seed uint64) ([][]int, error) {
	g := &generator{
		sizes:    sizes,
		possible: func(a, b value) bool { return possible(a.dimension, a.index, b.dimension, b.index) },
		random:   rand.New(rand.NewPCG(seed, seed)),
	}
	order := g.fillOpen()
	chosen := slices.Clone(first)
	for _, c := range first {
		g.close(c)
	}
	for len(g.open) > 0 {
		best, covered := g.bestFor(firstOpen(order, g.open))
		if covered == 0 {
			p := firstOpen(order, g.open)
			return nil, fmt.Errorf("pairwise: value %d of dimension %d and value %d of dimension %d are in no possible combination",
				p.a.index, p.a.dimension, p.b.index, p.b.dimension)
		}
		g.close(best)
		chosen = append(chosen, best)
	}
	return newestFirst(chosen, len(first)), nil
}

// close takes the pairs of c off what has to meet still.
func (g *generator) close(c []int) {
	for _, p := range pairs(c) {
		delete(g.open, p)
	}
}

// newestFirst orders combinations, after some that keep their places, by how much
// they have that is in none before.
func newestFirst(all [][]int, keep int) [][]int {
	values, met := make(map[value]bool), make(map[pair]bool)
	news := func(c []int) (v, p int) {
		for d, index := range c {
			if !values[value{d, index}] {
				v++
			}
		}
		for _, next := range pairs(c) {
			if !met[next] {
				p++
			}
		}
		return v, p
	}
	ordered := slices.Clone(all)
	for i := range ordered {
		best, most, mostPairs := i, -1, -1
		for j := i; j < len(ordered) && i >= keep; j++ {
			if v, p := news(ordered[j]); v > most || v == most && p > mostPairs {
				best, most, mostPairs = j, v, p
			}
		}
		ordered[i], ordered[best] = ordered[best], ordered[i]
		for d, index := range ordered[i] {
			values[value{d, index}] = true
		}
		for _, next := range pairs(ordered[i]) {
			met[next] = true
		}
	}
	return ordered
}

// fillOpen opens every possible pair, and returns them in their order.
func (g *generator) fillOpen() []pair {
	g.open = make(map[pair]bool)
	var order []pair
	for d := range g.sizes {
		for e := d + 1; e < len(g.sizes); e++ {
			for v := range g.sizes[d] {
				for w := range g.sizes[e] {
					p := pair{value{d, v}, value{e, w}}
					if g.possible(p.a, p.b) {
						g.open[p] = true
						order = append(order, p)
					}
				}
			}
		}
	}
	g.random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

func firstOpen(order []pair, open map[pair]bool) pair {
	for _, p := range order {
		if open[p] {
			return p
		}
	}
	return pair{}
}

// bestFor returns the combination with pair p that covers most open pairs, of
// some that are built at random.
func (g *generator) bestFor(p pair) (best []int, covered int) {
	for range candidates {
		c := g.build(p)
		if c == nil {
			continue
		}
		if n := g.covers(c); n > covered {
			best, covered = c, n
		}
	}
	return best, covered
}

// build completes p, dimension by dimension in random order, each time with a
// value that covers most open pairs with those that are there; nil if none fits.
func (g *generator) build(p pair) []int {
	c := make([]int, len(g.sizes))
	for d := range c {
		c[d] = -1
	}
	c[p.a.dimension], c[p.b.dimension] = p.a.index, p.b.index
	for _, d := range g.random.Perm(len(g.sizes)) {
		if c[d] >= 0 {
			continue
		}
		if c[d] = g.bestValue(c, d); c[d] < 0 {
			return nil
		}
	}
	return c
}

// bestValue returns the value of dimension d that covers most with c, -1 if
// none is possible. Of equals it takes one at random.
func (g *generator) bestValue(c []int, d int) int {
	best, most := -1, -1
	for _, v := range g.random.Perm(g.sizes[d]) {
		n, fits := 0, true
		for e, w := range c {
			if w < 0 {
				continue
			}
			p := ordered(value{d, v}, value{e, w})
			fits = fits && g.possible(p.a, p.b)
			if g.open[p] {
				n++
			}
		}
		if fits && n > most {
			best, most = v, n
		}
	}
	return best
}

func (g *generator) covers(c []int) int {
	n := 0
	for _, p := range pairs(c) {
		if g.open[p] {
			n++
		}
	}
	return n
}

func ordered(a, b value) pair {
	if b.dimension < a.dimension {
		a, b = b, a
	}
	return pair{a, b}
}

func pairs(c []int) []pair {
	var all []pair
	for d, v := range c {
		for e := d + 1; e < len(c); e++ {
			all = append(all, pair{value{d, v}, value{e, c[e]}})
		}
	}
	return all
}

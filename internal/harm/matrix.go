package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/pairwise"
)

// numbered is a cell and its place in the matrix, from 1; 0 if it has none.
type numbered struct {
	number int
	cell   cell.Cell
}

// matrix returns the cells of a seed.
func matrix(seed uint64) ([]numbered, error) {
	dimensions := cell.Dimensions()
	sizes := make([]int, len(dimensions))
	for d, dimension := range dimensions {
		sizes[d] = len(dimension.Values)
	}
	var known [][]int
	for _, c := range cell.Known() {
		indices := make([]int, len(dimensions))
		for d, v := range c.Values() {
			indices[d] = slices.Index(dimensions[d].Values, v)
		}
		known = append(known, indices)
	}
	chosen, err := pairwise.Generate(sizes, func(d, v, e, w int) bool {
		return cell.Possible(dimensions[d].Values[v], dimensions[e].Values[w])
	}, known, seed)
	if err != nil {
		return nil, err
	}
	cells := make([]numbered, len(chosen))
	for i, c := range chosen {
		values := make([]string, len(c))
		for d, v := range c {
			values[d] = dimensions[d].Values[v]
		}
		cells[i] = numbered{i + 1, cell.New(values)}
	}
	return cells, nil
}

// choose returns the cells that a list asks for, all for the empty one: by
// numbers, or those that have all the values in it. One value of each dimension
// is a cell, also if the matrix has it not.
func choose(cells []numbered, list string) ([]numbered, error) {
	if list == "" {
		return cells, nil
	}
	words := strings.Split(list, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	var chosen []numbered
	for _, c := range cells {
		if slices.Contains(words, strconv.Itoa(c.number)) || containsAll(c.cell.Values(), words) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 && len(words) == len(cell.Dimensions()) {
		if c := cell.New(words); c.Valid() {
			chosen = []numbered{{cell: c}}
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-cells %q: no cell is like that: must be numbers from 1 to %d, or values such as slow,grpc",
			list, len(cells))
	}
	return chosen, nil
}

func containsAll(values, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(w string) bool { return !slices.Contains(values, w) })
}

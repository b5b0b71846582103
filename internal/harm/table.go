package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/judge"
	"github.com/oncemore-dev/oncemore/internal/harm/outcome"
)

// mostErrors is how many kinds of errors are shown of an arm.
const mostErrors = 3

// printHeader begins the table. Its columns are wide enough for what comes, since
// each row is printed when its cell has ended.
func printHeader(out io.Writer) {
	fmt.Fprintf(out, "%4s  %-58s %13s  %17s  %17s  %9s  %11s  %9s\n",
		"cell", "workload, fleet, client, safety, around", "answered", "p50", "p99", "late", "runs/order", "repeated")
	fmt.Fprintf(out, "%4s  %-58s %13s  %17s  %17s  %9s  %11s  %9s\n",
		"", "", "bare/wrapped", "bare/wrapped", "bare/wrapped", "", "", "")
}

// printRow prints a cell, and what is wrong with it.
func printRow(out io.Writer, number int, p judge.Pair, harm []string) {
	_, bare := p.Bare.Expected()
	_, wrapped := p.Wrapped.Expected()
	fmt.Fprintf(out, "%4d  %-58s %13s  %17s  %17s  %9s  %11s  %9s\n",
		number, p.Cell,
		both(bare, wrapped),
		both(rounded(p.Bare.Took(0.5)), rounded(p.Wrapped.Took(0.5))),
		both(rounded(p.Bare.Took(0.99)), rounded(p.Wrapped.Took(0.99))),
		both(p.Bare.LaterThan(judge.Grace), p.Wrapped.LaterThan(judge.Grace)),
		both(perOrder(p.Bare), perOrder(p.Wrapped)),
		both(p.Bare.Repeated, p.Wrapped.Repeated))
	for _, h := range harm {
		fmt.Fprintf(out, "      HARM: %s\n", strings.ReplaceAll(strings.TrimSpace(h), "\n", "\n            "))
	}
}

// printErrors shows how calls failed, most frequent first.
func printErrors(out io.Writer, name string, r outcome.Result) {
	type kind struct {
		text  string
		count int
	}
	var kinds []kind
	for text, n := range r.Errors {
		kinds = append(kinds, kind{text, n})
	}
	slices.SortFunc(kinds, func(a, b kind) int { return b.count - a.count })
	for _, k := range kinds[:min(len(kinds), mostErrors)] {
		fmt.Fprintf(out, "            %s, %d times: %s\n", name, k.count, k.text)
	}
}

func both(bare, wrapped any) string { return fmt.Sprintf("%v/%v", bare, wrapped) }

func perOrder(r outcome.Result) string {
	if r.Executed == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(r.Executions)/float64(r.Executed))
}

// rounded leaves out digits that mean nothing.
func rounded(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// sum adds up some cells.
type sum struct {
	cells, calls                  int
	bare, wrapped                 int // calls answered
	lateBare, lateWrapped         int
	repeatedBare, repeatedWrapped int // orders that may run once
}

func sumOf(pairs []judge.Pair) sum {
	var s sum
	for _, p := range pairs {
		calls, bare := p.Bare.Expected()
		_, wrapped := p.Wrapped.Expected()
		s.cells++
		s.calls += calls
		s.bare += bare
		s.wrapped += wrapped
		s.lateBare += p.Bare.LaterThan(judge.Grace)
		s.lateWrapped += p.Wrapped.LaterThan(judge.Grace)
		if p.Cell.Safety != cell.Safe {
			s.repeatedBare += p.Bare.Repeated
			s.repeatedWrapped += p.Wrapped.Repeated
		}
	}
	return s
}

// printDigest prints the table that docs/harm.md shows: the cells of each fleet.
func printDigest(out io.Writer, pairs []judge.Pair) {
	fmt.Fprintf(out, "%-14s %5s  %7s  %17s  %12s  %14s\n", "", "cells", "calls", "answered", "late", "run again")
	fmt.Fprintf(out, "%-14s %5s  %7s  %17s  %12s  %14s\n", "", "", "", "bare/wrapped", "bare/wrapped", "bare/wrapped")
	for _, fleet := range cell.Dimensions()[1].Values {
		some := withValue(pairs, fleet)
		if len(some) == 0 {
			continue
		}
		s := sumOf(some)
		fmt.Fprintf(out, "%-14s %5d  %7d  %17s  %12s  %14s\n", fleet, s.cells, s.calls,
			both(percent(s.bare, s.calls), percent(s.wrapped, s.calls)),
			both(s.lateBare, s.lateWrapped), both(s.repeatedBare, s.repeatedWrapped))
	}
}

func percent(n, of int) string { return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(of)) }

// withValue returns the cells that have a value.
func withValue(pairs []judge.Pair, value string) []judge.Pair {
	var some []judge.Pair
	for _, p := range pairs {
		if slices.Contains(p.Cell.Values(), value) {
			some = append(some, p)
		}
	}
	return some
}

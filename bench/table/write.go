package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// write prints the machine, a table for each wire of the stacks, and one for
// each benchmark that compares arms.
func write(out io.Writer, r *results) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, line := range r.machine {
		fmt.Fprintln(t, line)
	}
	r.writeStacks(t)
	for _, name := range r.names {
		r.writeArms(t, name)
	}
	return t.Flush()
}

// writeStacks prints what each stack costs above the bare one before it.
func (r *results) writeStacks(out io.Writer) {
	var title string
	var bareAllocs float64
	for _, name := range r.names {
		group, stack, ok := strings.Cut(name, "/stack=")
		if !ok {
			continue
		}
		if group != title {
			title = group
			fmt.Fprintf(out, "\n%s\n\tns/op\tabove bare\tallocs/op\tabove bare\t\n", title)
		}
		took, _ := r.median(name, "p50-ns/op")
		above, _ := r.median(name, "above-bare-ns/op")
		allocs, _ := r.median(name, "allocs/op")
		if stack == "bare" {
			bareAllocs = allocs
		}
		fmt.Fprintf(out, "%s\t%.0f\t%+.0f\t%.0f\t%+.0f\t\n", stack, took, above, allocs, allocs-bareAllocs)
	}
}

// writeArms prints each arm's median and its ratio to the base, after the
// control. The control's own is what the machine made of two equal arms.
func (r *results) writeArms(out io.Writer, name string) {
	arms := r.arms(name)
	if len(arms) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s\n\tp50 µs\tratio\t\n", name)
	for _, arm := range arms {
		took, _ := r.median(name, arm+armUnit)
		ratio := ""
		if value, ok := r.median(name, arm+"-ratio"); ok {
			ratio = fmt.Sprintf("%.3f", value)
		}
		fmt.Fprintf(out, "%s\t%.1f\t%s\t\n", arm, took/1000, ratio)
	}
}

const armUnit = "-p50-ns"

// arms are those that a benchmark compares: the base, which has no ratio, then
// the control, then the others in the order of their names, as go test has them.
func (r *results) arms(name string) (arms []string) {
	for _, unit := range r.order[name] {
		if arm, ok := strings.CutSuffix(unit, armUnit); ok {
			arms = append(arms, arm)
		}
	}
	slices.SortStableFunc(arms, func(a, b string) int { return cmp.Compare(r.rank(name, a), r.rank(name, b)) })
	return arms
}

func (r *results) rank(name, arm string) int {
	_, compared := r.median(name, arm+"-ratio")
	switch {
	case !compared:
		return 0
	case arm == "control":
		return 1
	default:
		return 2
	}
}

package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// conclude prints the table and the line about oncemore, and returns an error
// that names every arm whose result is not what it should be.
func conclude(out io.Writer, results []result) error {
	var failures error
	for _, r := range results {
		if err := r.arm.judge(r); err != nil {
			failures = errors.Join(failures, fmt.Errorf("%s: %w", r.arm.name, withExample(err, r)))
		}
	}
	if err := printTable(out, results); err != nil {
		return errors.Join(failures, err)
	}
	compareTails(out, results)
	runs, good := 0, 0
	for _, r := range results {
		if r.arm.name != oncemoreArm {
			continue
		}
		fmt.Fprintln(out, summary(r))
		if runs++; r.arm.judge(r) == nil {
			good++
		}
	}
	if runs > 1 {
		fmt.Fprintf(out, "unharmed in %d of %d runs\n", good, runs)
	}
	return failures
}

// compareTails says what hedging has gained.
func compareTails(out io.Writer, results []result) {
	tails := make(map[bool]result) // by whether the arm hedges; of several runs the last
	for _, r := range results {
		if !r.arm.control {
			tails[r.arm.hedged] = r
		}
	}
	if len(tails) == 2 {
		fmt.Fprintf(out, "one instance slow, one frozen: the longest read took %s, hedged %s\n\n",
			rounded(tails[false].longestRead), rounded(tails[true].longestRead))
	}
}

func withExample(err error, r result) error {
	if r.failure == nil {
		return err
	}
	return fmt.Errorf("%w; for example: %w", err, r.failure)
}

func printTable(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\n\tcalls\tfailed\tduplicates\tlost\tp50\tp99\tmax\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t\n",
			r.arm.name, r.calls, r.failed, r.duplicates, r.lost, rounded(r.p50), rounded(r.p99), rounded(r.max))
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// summary is one line for people and for grep.
func summary(r result) string {
	return fmt.Sprintf("calls=%d failed=%d acknowledged=%d ledger=%d duplicates=%d lost=%d p50=%s p99=%s max=%s",
		r.calls, r.failed, r.acknowledged, r.rows, r.duplicates, r.lost, rounded(r.p50), rounded(r.p99), rounded(r.max))
}

// rounded leaves out digits that mean nothing.
func rounded(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond)
	default:
		return d.Round(10 * time.Microsecond)
	}
}

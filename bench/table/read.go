package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// results are the metrics of all benchmarks, in the order in which they ran.
type results struct {
	machine []string // what was said of the machine
	names   []string // without "Benchmark" and the number of threads
	metrics map[string]map[string][]float64
	order   map[string][]string // of the metrics
}

// read collects the results of every run of each benchmark.
func read(in io.Reader) (*results, error) {
	r := &results{metrics: make(map[string]map[string][]float64), order: make(map[string][]string)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "# "):
			r.hear(strings.TrimPrefix(line, "# "))
		case strings.HasPrefix(line, "cpu: "):
			r.hear(line)
		case strings.HasPrefix(line, "Benchmark"):
			if err := r.add(strings.Fields(line)); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
		}
	}
	return r, lines.Err()
}

func (r *results) hear(line string) {
	if !slices.Contains(r.machine, line) {
		r.machine = append(r.machine, line)
	}
}

// add takes a line's fields: a name, the number of operations, and then values
// and units by turns. A name without them is a benchmark that failed.
func (r *results) add(fields []string) error {
	if len(fields) < 4 {
		return nil
	}
	name := strings.TrimPrefix(fields[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			name = name[:i]
		}
	}
	if r.metrics[name] == nil {
		r.metrics[name] = make(map[string][]float64)
		r.names = append(r.names, name)
	}
	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return err
		}
		unit := fields[i+1]
		if r.metrics[name][unit] == nil {
			r.order[name] = append(r.order[name], unit)
		}
		r.metrics[name][unit] = append(r.metrics[name][unit], value)
	}
	return nil
}

// median of all runs, or false if the benchmark has no such metric.
func (r *results) median(name, unit string) (float64, bool) {
	values := slices.Sorted(slices.Values(r.metrics[name][unit]))
	if len(values) == 0 {
		return 0, false
	}
	return values[len(values)/2], true
}

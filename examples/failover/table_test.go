package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func results(oncemore, stock, hystrix, noDedupe result) []result {
	all := []result{oncemore, stock, hystrix, noDedupe, hedged()}
	for i, a := range arms() {
		all[i].arm = a
	}
	return all
}

func good() result {
	return result{
		calls: 2000, retried: 9, onDead: 4, mostOnDead: 16, onFrozen: 3, worstOnFrozen: 1, acknowledged: 1000, rows: 1000,
		p50: 1234567, p99: 123456789, longestRead: 1230 * time.Millisecond, max: 1234567890,
	}
}

func hedged() result {
	r := good()
	r.longestRead = 23 * time.Millisecond
	return r
}

func hedgedTwice() result {
	r := hedged()
	r.arm, r.duplicates = arms()[4], 1
	return r
}

func bad() result {
	return result{calls: 300, failed: 40, duplicates: 2, lost: 1, failure: errCall, max: 5 * time.Second}
}

func TestConclude(t *testing.T) {
	var out bytes.Buffer
	if err := conclude(&out, results(good(), bad(), bad(), bad())); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
                         calls  failed  duplicates  lost     p50    p99    max
               oncemore   2000       0           0     0  1.23ms  123ms  1.23s
           stock client    300      40           2     1      0s     0s     5s
  hystrix, retry always    300      40           2     1      0s     0s     5s
   oncemore, dedupe off    300      40           2     1      0s     0s     5s
       oncemore, hedged   2000       0           0     0  1.23ms  123ms  1.23s

one instance slow, one frozen: the longest read took 1.23s, hedged 23ms

calls=2000 failed=0 acknowledged=1000 ledger=1000 duplicates=0 lost=0 p50=1.23ms p99=123ms max=1.23s
`, "")
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestConcludeCountsRuns(t *testing.T) {
	all := results(good(), bad(), bad(), bad())
	harmed := all[0]
	harmed.lost = 1
	var out bytes.Buffer
	if err := conclude(&out, append([]result{all[0], harmed}, all...)); err == nil {
		t.Error("no error")
	}
	if !strings.HasSuffix(out.String(), "\nunharmed in 2 of 3 runs\n") {
		t.Errorf("got\n%s", out.String())
	}
}

// TestRuns: every run of oncemore's counts; a control has three to show harm.
func TestRuns(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arm     arm
		outcome []result
		want    []string
		kept    int
	}{
		{"oncemore", arms()[0], []result{good(), good()}, []string{"oncemore-1", "oncemore-2"}, 2},
		{"oncemore, harmed", arms()[0], []result{bad(), good()}, []string{"oncemore-1", "oncemore-2"}, 2},
		{"a control", arms()[1], []result{bad()}, []string{"stock-client-1"}, 1},
		{"a lucky control", arms()[1], []result{good(), bad()}, []string{"stock-client-1", "stock-client-2"}, 1},
		{"a control without harm", arms()[1], []result{good(), good(), good()}, []string{"stock-client-1", "stock-client-2", "stock-client-3"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var names []string
			got, err := tt.arm.runs(2, func(name string) (result, error) {
				names = append(names, name)
				return tt.outcome[len(names)-1], nil
			})
			if err != nil || len(got) != tt.kept || !slices.Equal(names, tt.want) {
				t.Fatalf("%d results of %q, error %v; want %d of %q", len(got), names, err, tt.kept, tt.want)
			}
			if last := tt.outcome[len(tt.outcome)-1]; got[len(got)-1].failed != last.failed {
				t.Errorf("the last run failed %d times, want %d", got[len(got)-1].failed, last.failed)
			}
		})
	}
}

func TestConcludeFails(t *testing.T) {
	changed := func(change func(*result)) result {
		r := good()
		change(&r)
		return r
	}
	for _, tt := range []struct {
		name    string
		results []result
		want    string
	}{
		{"a call failed", results(changed(func(r *result) { r.failed = 1; r.failure = errCall }), bad(), bad(), bad()),
			"oncemore: a call failed, ran twice or was lost; for example: 502 Bad Gateway"},
		{"a tip ran twice", results(changed(func(r *result) { r.duplicates = 1 }), bad(), bad(), bad()),
			"oncemore: a call failed, ran twice or was lost"},
		{"a tip was lost", results(changed(func(r *result) { r.lost = 1 }), bad(), bad(), bad()),
			"oncemore: a call failed, ran twice or was lost"},
		{"nothing was retried", results(changed(func(r *result) { r.retried = 0 }), bad(), bad(), bad()),
			"oncemore: no call needed a second attempt: the faults did not bite"},
		{"nobody met the dead", results(changed(func(r *result) { r.onDead = 0 }), bad(), bad(), bad()),
			"oncemore: no attempt met the dead instance, or none the frozen one: the faults did not bite"},
		{"nobody met the frozen", results(changed(func(r *result) { r.onFrozen = 0 }), bad(), bad(), bad()),
			"oncemore: no attempt met the dead instance, or none the frozen one: the faults did not bite"},
		{"too many met the dead", results(changed(func(r *result) { r.onDead = 17 }), bad(), bad(), bad()),
			"oncemore: 17 attempts failed on the dead instance: at most 16 may"},
		{"a call met the frozen twice", results(changed(func(r *result) { r.worstOnFrozen = 2 }), bad(), bad(), bad()),
			"oncemore: one call waited for the frozen instance 2 times: once is enough"},
		{"the stock client did not fail", results(good(), good(), bad(), bad()),
			"stock client: no call failed: the faults did not bite"},
		{"hystrix did not fail", results(good(), bad(), good(), bad()),
			"hystrix, retry always: no call failed: the faults did not bite"},
		{"without dedupe nothing ran twice", results(good(), bad(), bad(), good()),
			"oncemore, dedupe off: no tip ran twice: the faults did not bite"},
		{"a hedged tip ran twice", append(results(good(), bad(), bad(), bad())[:4], hedgedTwice()),
			"oncemore, hedged: a call failed, ran twice or was lost"},
		{"nothing was acknowledged", results(changed(func(r *result) { r.acknowledged = 0 }), bad(), bad(), bad()),
			"oncemore: no tip was acknowledged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := conclude(&out, tt.results); err == nil || err.Error() != tt.want {
				t.Errorf("error = %v, want %s", err, tt.want)
			}
			if !strings.Contains(out.String(), "calls=2000 ") {
				t.Errorf("no summary:\n%s", out.String())
			}
		})
	}
}

package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
)

// result is what came of one arm.
type result struct {
	arm arm
	// calls that were made, those of them that failed, and those that needed
	// more than one attempt as far as user-api told.
	calls, failed, retried int
	// acknowledged is how many tips were answered with success.
	acknowledged int
	// rows is how many tips the ledger holds.
	rows int
	// duplicates is how many keys have more than one row, acknowledged or not.
	duplicates int
	// lost is how many tips were acknowledged and have no row.
	lost int
	// onDead is how many attempts failed on the instance that was dead, as far as
	// user-api told, and mostOnDead how many may.
	onDead, mostOnDead int
	// onFrozen is how often a call waited in vain for the frozen instance, and
	// worstOnFrozen how often one and the same call did.
	onFrozen, worstOnFrozen int
	// The latencies of all calls, failed ones included.
	p50, p99, max time.Duration
	// longestRead is that of the calls that write nothing: tips wait for one another
	// in the database, whichever instance they meet.
	longestRead time.Duration
	// failure is one failed call's error, for whoever wonders.
	failure error
}

// audit compares what the callers were told with what the ledger holds under
// keys that begin with prefix. No process may still be writing to it.
func audit(ctx context.Context, a arm, calls []call, where storeurl.Store, prefix string) (r result, err error) {
	book, err := ledger.Open(ctx, where)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	rows, err := book.RowsByKey(ctx, prefix)
	if err != nil {
		return result{}, err
	}
	return compare(a, calls, rows), nil
}

// compare is audit without its file: rows counts the executions of each key.
func compare(a arm, calls []call, rows map[string]int) result {
	r := result{arm: a, calls: len(calls)}
	for _, n := range rows {
		r.rows += n
		if n > 1 {
			r.duplicates++
		}
	}
	for _, c := range calls {
		switch {
		case c.err != nil:
			r.failed++
			r.failure = c.err
		case c.op == opTip:
			r.acknowledged++
			if rows[c.key] == 0 {
				r.lost++
			}
		}
		if c.taken.attempts > 1 {
			r.retried++
		}
	}
	r.p50, r.p99, r.max = latencies(calls)
	_, _, r.longestRead = latencies(slices.DeleteFunc(slices.Clone(calls), func(c call) bool { return c.op == opTip }))
	return r
}

// feel counts what calls met of the faults themselves.
func (r *result) feel(calls []call, happened incidents) {
	r.mostOnDead = happened.mostOnDead()
	if r.arm.hedged {
		r.mostOnDead += concurrency // each call in flight may have a hedge there
	}
	for _, c := range calls {
		if happened.death.during(c) {
			r.onDead += c.taken.failedAt(happened.death.address)
		}
		if happened.freeze.during(c) {
			n := c.taken.failedAt(happened.freeze.address, "timeout")
			r.onFrozen += n
			r.worstOnFrozen = max(r.worstOnFrozen, n)
		}
	}
}

// latencies returns the quantiles by the nearest rank.
func latencies(calls []call) (p50, p99, longest time.Duration) {
	if len(calls) == 0 {
		return 0, 0, 0
	}
	sorted := make([]time.Duration, len(calls))
	for i, c := range calls {
		sorted[i] = c.took
	}
	slices.Sort(sorted)
	rank := func(percent int) time.Duration {
		return sorted[(len(sorted)*percent+99)/100-1]
	}
	return rank(50), rank(99), sorted[len(sorted)-1]
}

package arm

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/internal/harm/node"
	"github.com/oncemore-dev/oncemore/internal/harm/outcome"
)

// straggle is how long after the last deadline a call may still return before
// it counts as hung.
const straggle = 10 * time.Second

// load makes calls and keeps how they ended.
type load struct {
	client   client.Client
	workload workload

	mu     sync.Mutex
	calls  []outcome.Call
	errors map[string]int
	open   sync.WaitGroup
}

// drive makes the calls of the workload for that length from start on, each at
// its moment, whether or not earlier ones have returned: so both arms make the
// same calls, however long theirs take. It returns when all have returned, or
// hang.
func (l *load) drive(ctx context.Context, start time.Time, length time.Duration) error {
	n := uint64(l.workload.rate * length.Seconds())
	l.calls, l.errors = make([]outcome.Call, n), make(map[string]int)
	for i := range n {
		moment := start.Add(time.Duration(float64(i) / l.workload.rate * float64(time.Second)))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Until(moment)):
		}
		r := l.workload.request(i)
		l.mu.Lock()
		l.calls[i] = outcome.Call{Expected: r.expected, Hung: true}
		l.mu.Unlock()
		l.open.Go(func() { l.call(ctx, i, r) })
	}
	return l.settle(ctx)
}

// call makes one call.
func (l *load) call(ctx context.Context, i uint64, r request) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	err := node.Call(ctx, l.client, l.workload.service, r.order)
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[i] = outcome.Call{Expected: r.expected, Answered: err == nil, Took: took, Late: took - r.patience}
	if err != nil && r.expected {
		l.errors[outcome.Kind(err)]++
	}
}

// settle waits for the calls that are open.
func (l *load) settle(ctx context.Context) error {
	returned := make(chan struct{})
	go func() {
		l.open.Wait()
		close(returned)
	}()
	select {
	case <-returned:
	case <-time.After(callersTime + straggle):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// result is how the calls have ended by now.
func (l *load) result() outcome.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	return outcome.Result{Calls: slices.Clone(l.calls), Errors: maps.Clone(l.errors)}
}

// warmUp makes a few calls that do not count, so that no arm pays for what is
// done once.
func warmUp(ctx context.Context, c client.Client, w workload) {
	const calls = uint64(6)
	ctx, cancel := context.WithTimeout(ctx, callersTime)
	defer cancel()
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			o := w.request(i).order
			o.ID = warmUpPrefix + o.ID
			_ = node.Call(ctx, c, w.service, o) // how it ends says the run
		})
	}
	all.Wait()
}

// warmUpPrefix begins the ids of calls that do not count.
const warmUpPrefix = "warm-up-"

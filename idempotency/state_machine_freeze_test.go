package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// process is a store as a process has it that freezes at one point, and then
// sends nothing more until it thaws. Others cannot tell it from one that died.
type process struct {
	idempotency.Store
	freezesAt string

	mu     sync.Mutex
	frozen bool
	thaw   chan struct{}
}

func newProcess(store idempotency.Store, freezesAt string) *process {
	return &process{Store: store, freezesAt: freezesAt, thaw: make(chan struct{})}
}

func (p *process) pass(point string) {
	p.mu.Lock()
	p.frozen = p.frozen || point == p.freezesAt
	frozen := p.frozen
	p.mu.Unlock()
	if frozen {
		<-p.thaw
	}
}

func (p *process) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	p.pass("before the claim")
	out, err := p.Store.Begin(ctx, c)
	p.pass("after the claim")
	if out.Execution != nil {
		out.Execution = &processExecution{out.Execution, p}
	}
	return out, err
}

type processExecution struct {
	idempotency.Execution
	process *process
}

func (e *processExecution) Renew(ctx context.Context) error {
	e.process.pass("before a renewal")
	return e.Execution.Renew(ctx)
}

func (e *processExecution) Complete(ctx context.Context, record []byte) error {
	e.process.pass("before the completion")
	err := e.Execution.Complete(ctx, record)
	e.process.pass("after the completion")
	return err
}

// ledger has the rows that a handler writes.
type ledger struct{ executions, rows int }

// enter is the work. It does not look at its context.
func (l *ledger) enter(p *process, reply *wrapperspb.StringValue) func(context.Context) error {
	return func(context.Context) error {
		l.executions++
		p.pass("before the work")
		l.rows++
		reply.Value = fmt.Sprintf("row %d", l.rows)
		p.pass("after the work")
		return nil
	}
}

func (l *ledger) lookUp(_ context.Context, o idempotency.Orphan) (done bool, err error) {
	reply, ok := o.Reply.(*wrapperspb.StringValue)
	if !ok || l.rows == 0 {
		return false, nil
	}
	reply.Value = fmt.Sprintf("row %d", l.rows)
	return true, nil
}

// TestFreezeAtEachPoint freezes an owner at each point of its execution, has a
// duplicate in another process answered, and thaws the owner. What the owner
// does then changes neither the record nor what is answered under the key; what
// its handler does, only the fence can stop.
func TestFreezeAtEachPoint(t *testing.T) {
	const unknown, lost = "unknown", "lost"
	type fate struct {
		duplicate  string // what the duplicate is answered while the owner is frozen
		owner      string // what the owner's caller is answered when it thaws
		last       string // what everybody is answered afterwards
		executions int
		rows       int
	}
	first := fate{"row 1", "row 1", "row 1", 1, 1}
	held := fate{unknown, "row 1", "row 1", 1, 1}
	again := fate{"row 1", lost, "row 1", 2, 2}
	for _, test := range []struct {
		point                 string
		hold, rerun, recovers fate
	}{
		{"before the claim", first, first, first},
		{"after the claim", fate{unknown, lost, "row 1", 1, 1}, fate{"row 1", lost, "row 1", 1, 1}, fate{"row 1", lost, "row 1", 1, 1}},
		{"before the work", held, again, again},
		{"after the work", held, fate{"row 2", lost, "row 2", 2, 2}, fate{"row 1", lost, "row 1", 1, 1}},
		{"before the completion", held, fate{"row 2", lost, "row 2", 2, 2}, fate{"row 1", lost, "row 1", 1, 1}},
		{"after the completion", first, first, first},
	} {
		for policy, want := range map[string]fate{"hold": test.hold, "rerun": test.rerun, "recover": test.recovers} {
			t.Run(test.point+"/"+policy, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, l := newStore(t), &ledger{}
					takeover := idempotency.WithTakeover(map[string]idempotency.Takeover{
						"hold": idempotency.TakeoverHold(), "rerun": idempotency.TakeoverRerun(),
						"recover": idempotency.TakeoverRecover(l.lookUp),
					}[policy])
					sent := int64(0)
					ask := func(p *process) string { // each time, in an attempt that is sent later
						sent++
						guard, _ := newGuard(t, p, takeover)
						call, reply := tip("k")
						call.Attempt = sent
						_, err := guard.Do(t.Context(), call, l.enter(p, reply))
						switch {
						case errors.Is(err, idempotency.ErrOutcomeUnknown):
							return unknown
						case errors.Is(err, idempotency.ErrLeaseLost):
							return lost
						case err != nil:
							return err.Error()
						}
						return reply.GetValue()
					}
					owner, got := newProcess(store, test.point), fate{}
					var group sync.WaitGroup
					group.Go(func() { got.owner = ask(owner) })
					synctest.Wait()
					got.duplicate = ask(newProcess(store, ""))
					close(owner.thaw)
					group.Wait()
					got.last, got.executions, got.rows = ask(newProcess(store, "")), l.executions, l.rows
					if got != want {
						t.Errorf("got %+v, want %+v", got, want)
					}
				})
			})
		}
	}
}

// TestLostLeaseThatNobodyTookOver: an owner that could not renew its lease and
// succeeded all the same is believed, as long as nobody has taken its place.
func TestLostLeaseThatNobodyTookOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		owner := newProcess(store, "before a renewal")
		here, seen := newGuard(t, owner)
		elsewhere, _ := newGuard(t, store)
		w := &worker{do: func(ctx context.Context, _ int) error {
			time.Sleep(15 * time.Second)
			if cause := context.Cause(ctx); cause != idempotency.ErrLeaseLost {
				t.Errorf("cause %v", cause)
			}
			return nil
		}}
		var group sync.WaitGroup
		group.Go(func() {
			if reply, _, err := w.call(t.Context(), here, "k"); err != nil || reply != "run 1" {
				t.Errorf("owner: %q, %v", reply, err)
			}
		})
		synctest.Wait()
		_, _, err := w.call(t.Context(), elsewhere, "k")
		wantError(t, err, idempotency.ErrOutcomeUnknown, 409, false)
		time.Sleep(time.Second)
		close(owner.thaw)
		group.Wait()
		if reply, _, err := w.call(t.Context(), elsewhere, "k"); err != nil || reply != "run 1" {
			t.Errorf("afterwards: %q, %v", reply, err)
		}
		w.want(t, 1)
		if seen.count(idempotency.EventExecuted) != 1 {
			t.Errorf("events %+v", seen.list)
		}
	})
}

// failover is a store whose primary can be lost with all that it had
// acknowledged.
type failover struct {
	mu      sync.Mutex
	primary idempotency.Store
}

func (f *failover) now() idempotency.Store {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.primary
}

func (f *failover) fail(to idempotency.Store) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.primary = to
}

func (f *failover) ID(ctx context.Context) (string, error) { return f.now().ID(ctx) }

func (f *failover) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	primary := f.now()
	out, err := primary.Begin(ctx, c)
	if out.Execution != nil {
		out.Execution = &failedOver{out.Execution, f, primary}
	}
	return out, err
}

// failedOver is an execution whose claim a new primary does not know.
type failedOver struct {
	idempotency.Execution
	store   *failover
	primary idempotency.Store
}

func (e *failedOver) Renew(ctx context.Context) error {
	if e.store.now() != e.primary {
		return idempotency.ErrLost
	}
	return e.Execution.Renew(ctx)
}

func (e *failedOver) Complete(ctx context.Context, record []byte) error {
	if e.store.now() != e.primary {
		return idempotency.ErrLost
	}
	return e.Execution.Complete(ctx, record)
}

// TestFailoverLosesTheNewest: what a primary takes with it runs again. An owner
// whose claim was lost is not acknowledged; one whose record was lost has been.
func TestFailoverLosesTheNewest(t *testing.T) {
	for _, test := range []struct {
		name string
		when time.Duration // the owner works for one second
	}{{"a claim", 500 * time.Millisecond}, {"a record", 2 * time.Second}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &failover{primary: newStore(t)}
				guard, seen := newGuard(t, store)
				elsewhere, _ := newGuard(t, store)
				w := &worker{do: func(context.Context, int) error { time.Sleep(time.Second); return nil }}
				replica := newStore(t)
				time.AfterFunc(test.when, func() { store.fail(replica) })
				_, _, err := w.call(t.Context(), guard, "k")
				if test.name == "a claim" {
					wantError(t, err, idempotency.ErrLeaseLost, 409, false)
				} else if err != nil {
					t.Errorf("owner: %v", err)
				}
				time.Sleep(3 * time.Second)
				for range 2 {
					if reply, _, err := w.call(t.Context(), elsewhere, "k"); err != nil || reply != "run 2" {
						t.Errorf("afterwards: %q, %v", reply, err)
					}
				}
				w.want(t, 2)
				if lost := seen.count(idempotency.EventLeaseLost) == 1; lost != (test.name == "a claim") {
					t.Errorf("events %+v", seen.list)
				}
			})
		})
	}
}

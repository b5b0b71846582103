package wrapper

import (
	"context"
	"sync"
	"time"
)

// witnessTime is how long an attempt may run on, since it began, that was outrun.
// The breaker waits as long before it takes an instance for frozen, see
// breaker.Outrun.
const witnessTime = 250 * time.Millisecond

// witnesses are attempts that go on though their hedges have been answered, one for
// each instance: where all were cancelled, one that is merely slower than the
// hedge's delay would never answer anything, and be ejected for it. The zero value
// has none. It is safe for concurrent use.
type witnesses struct {
	mu      sync.Mutex
	running map[string]struct{} // by address
}

// claim tells whether an attempt on address is to be the witness.
func (w *witnesses) claim(address string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, taken := w.running[address]; taken {
		return false
	}
	if w.running == nil {
		w.running = make(map[string]struct{})
	}
	w.running[address] = struct{}{}
	return true
}

// release ends the claim.
func (w *witnesses) release(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, address)
}

// detached is a call's context, deadline and values, for an attempt that may have
// to run on when the call has ended: it is the loop that cancels it, when the caller
// leaves or the deadline has come.
type detached struct {
	context.Context //nolint:containedctx // of the call, which the attempt belongs to
}

// Done is never.
func (detached) Done() <-chan struct{} { return nil }

// Err is none.
func (detached) Err() error { return nil }

// detach returns the attempt's own context, detached from the call's.
func (a *attempt) detach(ctx context.Context) context.Context {
	a.detached = detached{ctx}
	own, cancel := context.WithCancel(&a.detached)
	a.cancel = cancel
	return own
}

// testifies tells whether the attempt is to run on after it was outrun. The call
// must be locked.
func (a *attempt) testifies(address string) bool {
	if a.detached.Context != nil && !a.returned && a.testimony == "" && a.call.client.witnesses.claim(address) {
		a.testimony = address
	}
	return a.testimony != ""
}

func (a *attempt) isWitness() bool {
	a.call.mu.Lock()
	defer a.call.mu.Unlock()
	return a.testimony != ""
}

// leaveAlone ends an attempt that nobody waits for; a witness when its time is over.
func (a *attempt) leaveAlone() {
	left := witnessTime - time.Since(a.began)
	if !a.isWitness() || left <= 0 {
		a.stop()
		return
	}
	time.AfterFunc(left, a.stop)
}

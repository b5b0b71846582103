package idempotency

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// deadline is a context that ends at a time or when it is cancelled with a
// cause. It makes a context of the standard library, with its timer and its
// channel, only when somebody asks for Done: a store or a handler in memory
// never does. Start it before use; it must not be copied then.
type deadline struct {
	parent context.Context
	at     time.Time
	cause  error        // of the end at that time; may be nil
	calls  *callContext // hides that of the parent; may be nil

	made atomic.Pointer[timedContext]
	mu   sync.Mutex // held while the context is made or cancelled
	lost error      // the cause of a cancel that came before
}

// timedContext is what the standard library has for a deadline with causes.
type timedContext struct {
	context.Context
	cancel context.CancelFunc
	lose   context.CancelCauseFunc
}

func (d *deadline) start(parent context.Context, timeout time.Duration, cause error) *deadline {
	d.parent, d.at, d.cause = parent, time.Now().Add(timeout), cause
	if sooner, ok := parent.Deadline(); ok && sooner.Before(d.at) {
		d.at = sooner
	}
	return d
}

// Deadline returns the end of the context.
func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done returns the channel that is closed at the end.
func (d *deadline) Done() <-chan struct{} { return d.make().Done() }

// Err says whether and why the context has ended.
func (d *deadline) Err() error {
	if made := d.made.Load(); made != nil {
		return made.Err()
	}
	if d.ended() {
		return d.make().Err()
	}
	return nil
}

// Value finds in an ended context what context.Cause looks for.
func (d *deadline) Value(key any) any {
	if d.calls != nil && key == (contextKey{}) {
		return d.calls
	}
	if made := d.made.Load(); made != nil {
		return made.Value(key)
	}
	if d.ended() {
		return d.make().Value(key)
	}
	return d.parent.Value(key)
}

// ended reports whether a context that was not made would have ended.
func (d *deadline) ended() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost != nil || d.parent.Err() != nil || !time.Now().Before(d.at)
}

// pastDeadline reports whether the time is over, be the context cancelled or not.
func (d *deadline) pastDeadline() bool { return !time.Now().Before(d.at) }

func (d *deadline) make() *timedContext {
	d.mu.Lock()
	defer d.mu.Unlock()
	if made := d.made.Load(); made != nil {
		return made
	}
	made := &timedContext{}
	losable, lose := context.WithCancelCause(d.parent)
	made.lose = lose
	if d.lost != nil {
		lose(d.lost)
	}
	made.Context, made.cancel = context.WithDeadlineCause(losable, d.at, d.cause)
	d.made.Store(made)
	return made
}

// end cancels the context for a cause, unless it has ended, and frees its
// timer.
func (d *deadline) end(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if made := d.made.Load(); made != nil {
		made.lose(cause)
		made.cancel()
		return
	}
	if d.lost == nil {
		d.lost = cause
	}
}

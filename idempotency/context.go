package idempotency

import (
	"context"
	"time"
)

// contextKey finds the *callContext of a context.
type contextKey struct{}

// callContext is all that this package keeps in a context, in one value, so
// that a call costs one look-up. It is never changed, only replaced.
type callContext struct {
	own    *ownKey // nil: the caller has given none
	issued time.Time
	step   string
	parent *execution
}

func callContextFrom(ctx context.Context) callContext {
	if c, ok := ctx.Value(contextKey{}).(*callContext); ok {
		return *c
	}
	return callContext{}
}

func (c callContext) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, contextKey{}, &c)
}

// WithKey returns a context whose calls carry the caller's own key. Use it
// where the key comes from outside (a browser's form, a message) or must
// outlive this process. The key is checked when a call is made, see
// [CallKey].
//
// The first call to an endpoint that is made under the context carries the key
// itself, and each later one to the same endpoint a key that is derived from it,
// so that none is taken for another. Whoever repeats the whole, under a context
// that WithKey made anew, must make these calls in the same order, or tell them
// apart by [WithStep].
func WithKey(ctx context.Context, key string) context.Context {
	c := callContextFrom(ctx)
	c.own = &ownKey{value: key}
	return c.in(ctx)
}

// KeyFrom returns the key that [WithKey] put into the context and the time
// that [WithIssued] did. It is not the key of the execution that the context
// belongs to, which is nobody's to send on.
func KeyFrom(ctx context.Context) (Key, bool) {
	c := callContextFrom(ctx)
	if c.own == nil {
		return Key{}, false
	}
	return Key{Value: c.own.value, Issued: c.issued}, true
}

// WithIssued says when the caller's own key (see [WithKey]) was minted. A
// server refuses a key that is older than its memory rather than run again
// what it may have forgotten. Keys that are minted here carry their time
// without it.
func WithIssued(ctx context.Context, t time.Time) context.Context {
	c := callContextFrom(ctx)
	c.issued = t
	return c.in(ctx)
}

// WithStep names the step in which a call is made, under a caller's own key or
// within an execution. Whoever calls one endpoint more than once, and not always in
// the same order (concurrently, or over a map), tells the calls apart by it, with the
// same labels each time: then a second run does not repeat what the first did.
// Calls of one label are told apart by their order. The empty label is no step.
func WithStep(ctx context.Context, label string) context.Context {
	c := callContextFrom(ctx)
	c.step = label
	return c.in(ctx)
}

// WithExecution returns the context of an execution under a key: the keys of
// calls made below are derived from the parent key, so that a second run of
// the same execution repeats the keys of the first. [Guard] does this for
// its handlers. The parent's For names the service and endpoint that run,
// and caller the one on whose behalf, both as in the [Scope] of the
// execution; without them two callers who chose the same key would meet in
// the calls below. Any key, time or step in ctx is hidden.
func WithExecution(ctx context.Context, parent Key, caller string) context.Context {
	return callContext{parent: &execution{parent: parent, caller: caller}}.in(ctx)
}

// ExecutionInfo is what a handler may know of its own execution.
type ExecutionInfo struct {
	// Key is the key that it runs under; its For is the call.
	Key Key
	// Caller is the one on whose behalf it runs, as in [Scope].
	Caller string
	// Fence grows with every takeover of the key. A resource that keeps the
	// greatest fence it has seen, and refuses a lesser one, is safe from an
	// execution that lost its lease and does not know. 0 where the store gave
	// no claim, as under [FailOpen].
	Fence uint64
}

// ExecutionFrom returns the execution that ctx belongs to.
func ExecutionFrom(ctx context.Context) (ExecutionInfo, bool) {
	e := callContextFrom(ctx).parent
	if e == nil {
		return ExecutionInfo{}, false
	}
	return ExecutionInfo{Key: e.parent, Caller: e.caller, Fence: e.fence}, true
}

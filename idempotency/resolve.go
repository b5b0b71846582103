package idempotency

import (
	"context"
	"errors"
	"fmt"
)

// Finding is what an operator, or a program that reconciles, has found out about a
// key, for [Guard.Resolve]. The zero value is none.
type Finding struct {
	kind   findingKind
	reply  any
	record Record
	force  bool
}

type findingKind uint8

const (
	foundNothing findingKind = iota
	foundReply
	foundRecord
	foundNotDone
)

// DoneWith says that the request was executed, and that this was the reply: a
// pointer to what the handler would have filled, of the same type. nil where the
// handler has no reply.
func DoneWith(reply any) Finding { return Finding{kind: foundReply, reply: reply} }

// DoneWithoutReply says that the request was executed, and that nobody knows the
// reply: duplicates are answered 410 ([ErrNoReply]). The reason is kept for people
// to read.
func DoneWithoutReply(reason string) Finding {
	return Finding{kind: foundRecord, record: Record{Content: ContentDropped, Body: []byte(reason)}}
}

// DoneWithRecord says that the request was executed, and how it was answered, be it
// with an error. [EventUnresolved] has such a record, in encoded form (see
// [DecodeRecord]).
func DoneWithRecord(record Record) Finding { return Finding{kind: foundRecord, record: record} }

// NotExecuted says that nothing was done: the key is free, and the next duplicate
// executes. An attempt that was sent before the one that was last claimed is still
// late, and the fence stays.
func NotExecuted() Finding { return Finding{kind: foundNotDone} }

// Forced returns the finding for a key that is still running, too. Its execution
// is shut out, and its context cancelled at the next renewal; what it does
// meanwhile outside of the store, only a fence can stop.
func (f Finding) Forced() Finding {
	f.force = true
	return f
}

// encode returns the record of the finding; nil for none.
func (f Finding) encode(limit int) ([]byte, error) {
	switch f.kind {
	case foundReply:
		raw, err := new(replyTypes).encode(f.reply, limit)
		if err != nil {
			return nil, fmt.Errorf("idempotency: DoneWith: the reply cannot be kept: %w", err)
		}
		return raw, nil
	case foundRecord:
		if f.record.Content == ContentError && f.record.Err == nil {
			return nil, errors.New("idempotency: DoneWithRecord: the record of an error has none")
		}
		raw := f.record.Encode()
		_, err := DecodeRecord(raw)
		return raw, err
	case foundNotDone:
		return nil, nil
	case foundNothing:
	}
	return nil, errors.New("idempotency: Finding{}: must be made by DoneWith, DoneWithoutReply, DoneWithRecord or NotExecuted")
}

// errNoInspector says that a store keeps its contents to itself.
var errNoInspector = fmt.Errorf("idempotency: this store is no Inspector: %w", errors.ErrUnsupported)

// Lookup tells what the store holds of a key: State Absent if it holds nothing. It
// is how an operator sees what is to be resolved, and how a service answers a
// caller who asks what became of a request ([Entry.Replay] has the answer). A key
// that is absent may never have arrived, or be older than the retention. The error
// is [errors.ErrUnsupported] where the store is no [Inspector].
func (g *Guard) Lookup(ctx context.Context, s Scope) (Entry, error) {
	inspector, ok := g.store.(Inspector)
	if !ok {
		return Entry{}, errNoInspector
	}
	key, err := ParseKey(s.Key)
	if err != nil {
		return Entry{}, err
	}
	s.Key = key
	bounded, cancel := context.WithTimeout(ctx, g.storeTimeout)
	defer cancel()
	e, err := inspector.Lookup(bounded, s.StoreKey())
	if err != nil {
		err = fmt.Errorf("idempotency: look a key up: %w", err)
	}
	e.Key, e.Scope = s.StoreKey(), s
	g.tell(ctx, &Event{Kind: EventLookedUp, Scope: s, StoreKey: e.Key, Owner: e.Owner, Fence: e.Fence, Err: err})
	return e, err
}

// Replay fills reply with the recorded one, or returns the recorded error, as a
// duplicate would be answered: with a [*RecordedError], or an [*Error] where the
// reply was not kept or is damaged. An entry that is not Done is an [*Error] too:
// ErrRunning or ErrOutcomeUnknown; or, where the key is free, ErrNotExecuted.
func (e Entry) Replay(reply any) error {
	switch e.State {
	case Done:
		record, err := DecodeRecord(e.Record)
		if err != nil {
			return unsettled(ErrCorrupt, err)
		}
		return record.replay(reply)
	case Running:
		return unsettled(ErrRunning, nil)
	case Orphaned:
		return unsettled(ErrOutcomeUnknown, nil)
	default:
		return refusal(ErrNotExecuted, nil)
	}
}

// Resolve settles a key by what was found out about it, if it is still as it was
// seen: with what [Guard.Lookup] or an [Inspector] returned. It is for an orphan
// whose work was or was not done, for an answer that could not be stored, and for a
// record that is wrong. The errors are those of [Inspector], and
// [errors.ErrUnsupported] where the store is none. What was decided is told by an
// event, be it carried out or not.
func (g *Guard) Resolve(ctx context.Context, seen Entry, f Finding) error {
	record, err := f.encode(g.maxReply)
	if err != nil {
		return err
	}
	return g.resolve(ctx, seen, Resolution{Record: record, Force: f.force})
}

// Forget frees a key that is done, or whose owner died, as if it had never been
// executed: the next duplicate executes. It is [Guard.Resolve] with [NotExecuted].
func (g *Guard) Forget(ctx context.Context, seen Entry) error {
	return g.resolve(ctx, seen, Resolution{})
}

func (g *Guard) resolve(ctx context.Context, seen Entry, r Resolution) error {
	inspector, ok := g.store.(Inspector)
	if !ok {
		return errNoInspector
	}
	r.Key, r.Seen, r.Owner = seen.Key, seen.Seen(), g.newOwner()
	r.Retention, r.ReleaseMemory = g.kept(), g.releaseMemory
	err := g.askToResolve(ctx, inspector, r)
	if err != nil && !errors.Is(err, ErrChanged) && !errors.Is(err, ErrLive) && !errors.Is(err, ErrNotApplied) && ctx.Err() == nil {
		err = g.askToResolve(ctx, inspector, r) // its answer may have been lost
	}
	event := Event{Kind: EventResolved, Scope: seen.Scope, StoreKey: seen.Key, Owner: r.Owner, Fence: seen.Fence, Record: r.Record, Err: err}
	if r.Record == nil {
		event.Kind = EventForgotten
	}
	g.tell(ctx, &event)
	return err
}

func (g *Guard) askToResolve(ctx context.Context, inspector Inspector, r Resolution) error {
	bounded, cancel := context.WithTimeout(ctx, g.storeTimeout)
	defer cancel()
	if err := inspector.Resolve(bounded, r); err != nil {
		return fmt.Errorf("idempotency: resolve a key: %w", err)
	}
	return nil
}

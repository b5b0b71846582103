package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"
)

// logEntry is how an event is logged.
type logEntry struct {
	level slog.Level
	text  string
	// repeats says that an outage, or one stuck key, brings the same line with
	// every call.
	repeats bool
}

// loggedAs returns how an event is logged, if it is.
func loggedAs(e *Event) (entry logEntry, logged bool) {
	switch e.Kind {
	case EventExecuted, EventReleased, EventReplayed, EventLookedUp, EventIgnored, EventUnidentified,
		EventClaimed, EventJoined, EventStoreOperation:
		return entry, false
	case EventRefused:
		return refusalLoggedAs(e.Err)
	case EventStoreFailed:
		return logEntry{slog.LevelError, "the store failed", true}, true
	case EventUnrecorded:
		return logEntry{slog.LevelWarn, "executed without a claim, because the store does not answer", true}, true
	case EventTakenOver:
		return logEntry{slog.LevelWarn, "an orphan was taken over", false}, true
	case EventLeaseLost:
		return logEntry{slog.LevelError, "an execution lost its lease; its answer was not stored", false}, true
	case EventPanicked:
		return logEntry{slog.LevelError, "the handler panicked", false}, true
	case EventUnresolved:
		if errors.Is(e.Err, ErrCommitUnknown) {
			return logEntry{slog.LevelError, "the outcome of a commit is not known; the next call with this key finds it out", false}, true
		}
		return logEntry{slog.LevelError, "the end of an execution could not be stored; resolve its key", false}, true
	case EventRolledBack:
		if errors.Is(e.Err, ErrRepeatable) || errors.Is(e.Err, ErrLost) {
			return logEntry{slog.LevelWarn, "the transaction was rolled back; the caller may repeat it", true}, true
		}
		return logEntry{slog.LevelError, "the transaction cannot be committed; the caller was answered 500", true}, true
	case EventResolved:
		return byOperator(e, "a key was resolved", "a key could not be resolved"), true
	case EventForgotten:
		return byOperator(e, "a key was freed", "a key could not be freed"), true
	}
	return entry, false
}

func byOperator(e *Event, done, failed string) logEntry {
	if e.Err != nil {
		return logEntry{slog.LevelWarn, failed, false}
	}
	return logEntry{slog.LevelInfo, done, false}
}

// refusalLoggedAs is loggedAs for an answer in the handler's place: most are the
// caller's affair.
func refusalLoggedAs(err error) (logEntry, bool) {
	switch {
	case errors.Is(err, ErrOutcomeUnknown):
		return logEntry{slog.LevelError, "a duplicate met an execution whose outcome is unknown; resolve its key", true}, true
	case errors.Is(err, ErrCorrupt):
		return logEntry{slog.LevelError, "a record is damaged; resolve its key", true}, true
	}
	return logEntry{}, false
}

// log writes an event to the log if somebody must know.
func (g *Guard) log(ctx context.Context, e *Event) {
	if g.silent {
		return
	}
	entry, logged := loggedAs(e)
	if !logged {
		return
	}
	var leftOut int
	if entry.repeats {
		var ok bool
		if leftOut, ok = g.repeats.Allow(entry.text, time.Now()); !ok {
			return
		}
	}
	attrs := g.attrs(e)
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	g.logTo().LogAttrs(ctx, entry.level, "idempotency: "+entry.text, attrs...)
}

// attrs are what an operator finds the key and the cause by.
func (g *Guard) attrs(e *Event) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("event", e.Kind.String()),
		slog.String("service", e.Scope.Service), slog.String("endpoint", e.Scope.Endpoint),
		slog.String("store_key", e.StoreKey.String()), slog.String("owner", e.Owner.String()),
		slog.Uint64("fence", e.Fence), slog.String("instance", g.instance),
	}
	if !g.hashedOnly {
		attrs = append(attrs, slog.String("caller", e.Scope.Caller), slog.String("key", e.Scope.Key))
	}
	if e.Record != nil {
		sum := sha256.Sum256(e.Record)
		attrs = append(attrs, slog.Int("record_bytes", len(e.Record)), slog.String("record_sha256", hex.EncodeToString(sum[:])))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	if panicked, ok := errors.AsType[*PanicError](e.Err); ok {
		attrs = append(attrs, slog.String("stack", string(panicked.Stack)))
	}
	return attrs
}

// logTo returns the logger, which is not asked for before there is something to
// log: programs set the default late.
func (g *Guard) logTo() *slog.Logger {
	if g.logger != nil {
		return g.logger
	}
	return slog.Default()
}

// Logger returns where the guard logs, see [WithLogger], for those who call [Guard.Do]
// for others and have something to say of it.
func (g *Guard) Logger() *slog.Logger {
	if g.silent {
		return slog.New(slog.DiscardHandler)
	}
	return g.logTo()
}

func (g *Guard) logHookPanic(ctx context.Context, kind EventKind, value any, stack []byte) {
	if g.silent {
		return
	}
	const text = "idempotency: a hook panicked"
	if leftOut, ok := g.repeats.Allow(text, time.Now()); ok {
		g.logTo().ErrorContext(ctx, text, "event", kind.String(), "panic", value, "stack", string(stack), "left_out", leftOut)
	}
}

package idempotency

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/oncemore-dev/oncemore/internal/loglimit"
)

// Guard lets each key be executed once, and answers its duplicates with the
// answer of that execution. It is safe for concurrent use. All guards that
// guard the same calls must use the same store.
type Guard struct {
	*core
	settings
}

// core is what a guard shares with those made from it.
type core struct {
	store   Store
	flights flights
	replies replyTypes
	bodies  bodyTypes
	work    *work
	process [8]byte // random, the first half of every owner
	claims  atomic.Uint64

	settling atomic.Int64 // uncertain claims that are being looked after
	repeats  loglimit.Limit
}

// New returns a guard over store. The error names the option that is wrong,
// its value and what is allowed.
func New(store Store, options ...Option) (*Guard, error) {
	if store == nil {
		return nil, errors.New("idempotency: New(nil): must be given a store")
	}
	chosen, err := defaults().apply(options)
	if err != nil {
		return nil, err
	}
	c := &core{store: store, work: newWork()}
	if _, err := rand.Read(c.process[:]); err != nil {
		return nil, fmt.Errorf("idempotency: random owner: %w", err)
	}
	return &Guard{core: c, settings: chosen}, nil
}

// With returns a guard with other settings, for instance for one endpoint. It
// shares everything else with g: the store, the duplicates that wait, and the
// end by [Guard.Drain].
func (g *Guard) With(options ...Option) (*Guard, error) {
	chosen, err := g.apply(options)
	if err != nil {
		return nil, err
	}
	return &Guard{core: g.core, settings: chosen}, nil
}

// Announce returns the identity of the guard's memory that clients may be told
// (see [Store]); empty if there is none to be trusted, as under [FailOpen].
func (g *Guard) Announce(ctx context.Context) (string, error) {
	if g.storeFailure == FailOpen {
		return "", nil
	}
	return g.store.ID(ctx)
}

// MaxReply returns the size in bytes beyond which a reply is not kept, see
// [WithMaxReply], for adapters that hold a reply in memory.
func (g *Guard) MaxReply() int { return g.maxReply }

// Drain makes the guard and all made from it refuse new executions
// ([ErrDraining]), and returns when those that run have ended and their
// answers are stored. When ctx ends first, what is still to be stored is given
// up ([EventUnresolved]), and the error says how many have not ended.
func (g *Guard) Drain(ctx context.Context) error { return g.work.drain(ctx) }

// Call is a call that carries a key.
type Call struct {
	// Service and Endpoint are the server's own names for what is called.
	Service, Endpoint string
	// Caller is as in [Scope].
	Caller string
	// Key must have a value.
	Key Key
	// Attempt is when this attempt was sent, in microseconds since 1970 (UTC), by
	// its sender's clock. One that was sent before one that has been released is
	// late, and not executed, unless it has waited for it. 0 where it is not known:
	// then it is as late as it arrives.
	Attempt int64
	// Declared says that the service was told that the endpoint is executed once per
	// key, and not only that this call happened to have one. It is passed on to the
	// store, see [Claim].
	Declared bool
	// Released is the attempt of whose release the sender of this one knows, out of
	// the refusal of an earlier one ([Error].Released); 0 for none. This attempt was
	// sent after that release, whatever its sender's clock says, and so is not late
	// for it.
	Released int64
	// Body is the request, for its fingerprint; see [FingerprintOf]. Of one that has
	// none, the key alone tells what it is, and one warning for each type says so.
	Body any
	// Reply is a pointer to the reply that the handler fills, or a replay. It is
	// nil if there is none. A protobuf message is recorded as such, and anything else
	// as JSON. A reply that does not come back equal from there, as one with a value
	// in an unexported field, or that is too large, is not kept: its duplicates are
	// answered with [ErrNoReply], and one warning for each type says why.
	Reply any
}

// Result says how a call was answered.
type Result struct {
	// Replayed: the answer was given before, to a duplicate of this call.
	Replayed bool
	// Released: the handler ran and ended with an error of which no record is kept. The
	// next call with the key executes it again. Its caller should be told, who may
	// itself be a handler and keep the error, or take a new key.
	Released bool
	// Joined: the answer is that of an execution that this call has waited for.
	Joined bool
	// Origin is where the execution came from whose answer this is, see [WithOrigin];
	// empty if that is not known.
	Origin string
}

// Do answers the call: it executes handler, or, if the key has been executed
// or is being, waits for that answer and repeats it. The answer is c.Reply and
// the error; a recorded error is a [*RecordedError], and one in the handler's
// place an [*Error] or a [*KeyError].
//
// The handler runs in the caller's goroutine, with a context that carries ctx's
// values and has a deadline of its own: if the caller leaves, the handler goes
// on, and Do returns when it ends. That context is cancelled, with
// [ErrLeaseLost] as the cause, if the claim cannot be held. Calls made under
// it derive their keys ([CallKey]), and [ExecutionFrom] describes it. The
// handler must not touch c.Reply after it has returned. If it panics, Do
// returns a [*PanicError]; if it ends its goroutine, that is recorded too.
func (g *Guard) Do(ctx context.Context, c Call, handler func(ctx context.Context) error) (Result, error) {
	r, err := g.newRequest(c)
	if err != nil {
		refused := Scope{Service: c.Service, Endpoint: c.Endpoint, Caller: c.Caller}
		g.tell(ctx, &Event{Kind: EventRefused, Scope: refused, Err: err})
		return Result{}, err
	}
	result, err := g.do(ctx, r, handler)
	if err != nil && !r.ran && isOwn(err) {
		g.report(ctx, r, Event{Kind: EventRefused, Err: err})
	}
	return result, err
}

// isOwn tells whether err is an answer in the handler's place.
func isOwn(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

func (g *Guard) do(ctx context.Context, r *request, handler func(context.Context) error) (Result, error) {
	for {
		r.flight = flight{fingerprint: r.claim.Fingerprint}
		f, leads := g.flights.join(r.claim.Key, &r.flight)
		if leads {
			return g.lead(ctx, r, f, handler)
		}
		if f.fingerprint != r.claim.Fingerprint {
			// Who is right, only the store knows: ask it without followers.
			return g.lead(ctx, r, &r.flight, handler)
		}
		result, again, err := g.follow(ctx, r, f)
		if !again {
			return result, err
		}
		r.stampNow()
	}
}

// stampNow gives a request the time of now for its attempt's. One that has waited
// for an execution that was released is not late for the next one, and of one
// that does not say when it was sent nobody knows.
func (r *request) stampNow() {
	r.here = true
	r.claim.Attempt = max(r.claim.Attempt, time.Now().UnixMicro())
}

// request is a call on its way.
type request struct {
	call           Call
	claim          Claim     // with the scope, in any case
	giveUp         time.Time // when waiting ends; set when it begins
	sent           time.Time // when the last claim was
	fence          uint64
	ran            bool // the handler has run
	claimUncertain bool // the store may hold the claim, though it did not say so
	joined         bool // another owner was seen running
	here           bool // cannot be late
	waited         bool // for an execution that ran

	entered bool // in the guard's work, which Drain waits for

	flight  flight   // if the request leads
	pollCtx deadline // of the first look into the store
	looked  bool
}

func (g *Guard) newRequest(c Call) (*request, error) {
	value, err := ParseKey(c.Key.Value)
	if err != nil {
		return nil, err
	}
	if !c.Key.IsFor(c.Service, c.Endpoint) {
		return nil, refusal(ErrForeignKey, nil)
	}
	if !c.Key.Issued.IsZero() && time.Since(c.Key.Issued) > g.retention {
		return nil, refusal(ErrExpired, nil)
	}
	fingerprint := g.fingerprint(c)
	scope := Scope{Service: c.Service, Endpoint: c.Endpoint, Caller: c.Caller, Key: value}
	r := &request{call: c, claim: Claim{
		Key: scope.StoreKey(), Scope: scope, Owner: g.newOwner(), Fingerprint: fingerprint, Attempt: c.Attempt,
		Lease: g.lease, Timeout: g.executionTimeout + g.storeTimeout, Retention: g.kept(), ReleaseMemory: g.releaseMemory,
		Takeover: g.takeover.wanted(), Declared: c.Declared, Instance: g.instance,
	}}
	if r.claim.Attempt <= 0 {
		r.stampNow()
	}
	return r, nil
}

// claimOf returns the claim of a request as the store may see it.
func (g *Guard) claimOf(r *request) Claim {
	claim := r.claim
	if g.hashedOnly {
		claim.Scope = Scope{}
	}
	return claim
}

func (c *core) newOwner() Owner {
	var owner Owner
	copy(owner[:], c.process[:])
	binary.BigEndian.PutUint64(owner[8:], c.claims.Add(1))
	return owner
}

// Report logs an event, where it is one to be logged, and shows it to the hooks. It
// is for those who call [Guard.Do] for others, and saw what the guard itself did not:
// see [EventIgnored] and [EventUnidentified].
func (g *Guard) Report(ctx context.Context, e Event) { g.tell(ctx, &e) }

// lead deals with the store for all duplicates in this process.
func (g *Guard) lead(ctx context.Context, r *request, f *flight, handler func(context.Context) error) (Result, error) {
	defer g.flights.settle(r.claim.Key, f, nil, nil, false) // unless it was settled before
	out, err := g.acquire(ctx, r)
	if r.entered {
		defer g.work.leave()
	}
	if err != nil {
		return g.cannotAcquire(ctx, r, f, handler, err)
	}
	switch out.State {
	case Acquired:
		g.note(ctx, r, EventClaimed)
		return g.execute(ctx, r, f, out, handler)
	case Done:
		g.flights.settle(r.claim.Key, f, out.Record, nil, false)
		return g.replay(ctx, r, out.Record)
	case Orphaned:
		err := unsettled(ErrOutcomeUnknown, nil)
		g.flights.settle(r.claim.Key, f, nil, err, false)
		return Result{}, err
	default: // Superseded: those who follow may be later attempts
		late := refusal(ErrSuperseded, nil)
		late.Released = out.Attempt
		return Result{}, late
	}
}

// cannotAcquire answers a call for which the store had no outcome.
func (g *Guard) cannotAcquire(
	ctx context.Context, r *request, f *flight, handler func(context.Context) error, err error,
) (Result, error) {
	down := errors.Is(err, ErrUnavailable)
	if down && g.storeFailure == FailOpen && !r.joined {
		return g.executeUnrecorded(ctx, r, f, handler, err)
	}
	if r.claimUncertain {
		g.settleLater(ctx, r, nil)
	}
	if down || errors.Is(err, ErrMismatch) { // so that a hundred duplicates do not find it out one by one
		g.flights.settle(r.claim.Key, f, nil, err, false)
	}
	return Result{}, err
}

// replay answers with a record.
func (g *Guard) replay(ctx context.Context, r *request, raw []byte) (Result, error) {
	record, err := DecodeRecord(raw)
	if err != nil {
		return Result{}, unsettled(ErrCorrupt, err)
	}
	err = record.replay(r.call.Reply)
	g.report(ctx, r, Event{Kind: EventReplayed, Err: err, Joined: r.waited, Origin: record.Origin})
	return Result{Replayed: true, Joined: r.waited, Origin: record.Origin}, err
}

package idempotency

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Store keeps claims and records. Implementations are safe for concurrent use
// and pass the suite of package storetest.
//
// Per key a store is in one of these states, and every step between them is
// atomic, decided by the store's own clock and conditional on the owner:
//
//	absent ──Begin──▶ running ──Complete──▶ done ──retention──▶ absent
//	                   │    │
//	               Release  └─lease over──▶ orphaned ──Begin(Takeover)──▶ running, fence+1
//	                   ▼
//	               released ──Begin(same attempt or a later one), or its memory over──▶ …
//
// A store is either detached (a claim has a lease, and its owner's death
// leaves an orphan) or transactional (Begin opens a transaction that the
// record and the handler's own writes share; its owner's death leaves
// nothing, so it never answers [Orphaned]).
type Store interface {
	// ID returns the identity of the memory behind the store: a random value
	// that is kept in it, so that two stores are the same if and only if their
	// records are. Empty means that it must not be announced to clients, as
	// for a memory that no other process shares.
	ID(ctx context.Context) (string, error)

	// Begin claims c.Key, or says why not. The outcome for each state:
	//
	//	absent                          Acquired
	//	running, by c.Owner itself      Acquired, as the first time (fence and TakenOver
	//	                                too): the answer to an earlier Begin was lost
	//	running                         Running, within c.Wait
	//	orphaned                        Orphaned; with c.Takeover and a fingerprint
	//	                                that matches, Acquired with TakenOver
	//	done                            Done
	//	released                        Superseded if c.Attempt is less than the
	//	                                attempt that was released, else Acquired
	//
	// An error leaves it open whether the claim was made, unless it is
	// [ErrNotApplied]; Guard then begins again with the same owner, and
	// if that fails too, releases the claim later. A transactional store rolls
	// back, so that nothing is left to release.
	//
	// ctx bounds Begin alone. The execution outlives it: a store whose
	// transaction would end with ctx must detach it (context.WithoutCancel)
	// and bound it by c.Timeout.
	Begin(ctx context.Context, c Claim) (Outcome, error)
}

// Watcher is implemented by a [Store] that can tell when a key changes, so
// that those who wait for it need not look at short intervals.
type Watcher interface {
	// Watch reports changes of key from the moment it returns: wake receives,
	// without ever blocking the sender, after the key may have changed. A
	// change may go unreported (Guard also looks once per poll interval) and a
	// report may be false. stop ends the watch; it is called exactly once, and
	// wake is never closed. ctx bounds Watch alone, not what it returns. One
	// shared subscription should serve all watches of a process.
	Watch(ctx context.Context, key StoreKey) (wake <-chan struct{}, stop func(), err error)
}

// Claim asks a [Store] for the right to execute. All durations are positive
// unless said otherwise.
type Claim struct {
	Key StoreKey
	// Scope that Key is the hash of, for the store to keep readable beside it
	// (see [Inspector]). Zero if only the hash is to be kept.
	Scope Scope
	// Instance is the process that claims, see [WithInstance]. To be kept, too.
	Instance string
	// Owner tells this claim from all others, and is the same when the claim
	// is asked for again because an answer was lost.
	Owner Owner
	// Fingerprint of the request; zero for none.
	Fingerprint Fingerprint
	// Attempt orders the attempts under a key: of two, the one that was sent
	// later has the greater number. Never negative.
	Attempt int64
	// Lease is how long the claim lasts unless it is renewed. A transactional
	// store has no use for it.
	Lease time.Duration
	// Timeout is how long the execution may take in all, its completion
	// included. A transactional store bounds the transaction by it.
	Timeout time.Duration
	// Retention is how long a record is kept after its completion. An orphan
	// is kept as long after its lease has ended.
	Retention time.Duration
	// ReleaseMemory is how long a release is remembered; 0 for not at all.
	ReleaseMemory time.Duration
	// Wait is how long Begin may block for a running execution to end before
	// it answers Running. A store that has no queue of its own answers at
	// once; so does every store when Wait is 0, as Guard has it at its first
	// look.
	Wait time.Duration
	// Takeover asks for an orphan too.
	Takeover bool
	// Declared says that the service relies on the endpoint to be executed once:
	// see [Call]. A transactional store may take it for an error there, and only
	// there, that a handler does not use the transaction.
	Declared bool
}

// Owner is a random token of fixed width that one claim has and no other.
type Owner [16]byte

// String returns the owner in hexadecimal.
func (o Owner) String() string { return hex.EncodeToString(o[:]) }

// State is where a key stands: what [Store.Begin] found, or what an [Inspector]
// shows.
type State uint8

// The states of an [Outcome] and of an [Entry]. The zero State is none of them.
const (
	// Acquired: the caller owns the key and must end the execution.
	Acquired State = iota + 1
	// Done: there is a record.
	Done
	// Running: another owner executes, and its lease is good.
	Running
	// Orphaned: the owner let its lease end. What it did is not known.
	Orphaned
	// Superseded: a later attempt of the same caller has run and was
	// released, so that this one is a straggler that nobody waits for.
	Superseded
	// Released: the last claim was given up, which is remembered. It is a state
	// of an [Entry], and none that Begin answers with.
	Released
	// Absent: the store holds nothing. It is a state of an [Entry], too.
	Absent
)

// String names the state.
func (s State) String() string {
	switch s {
	case Acquired:
		return "acquired"
	case Done:
		return "done"
	case Running:
		return "running"
	case Orphaned:
		return "orphaned"
	case Superseded:
		return "superseded"
	case Released:
		return "released"
	case Absent:
		return "absent"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Outcome is the answer of [Store.Begin].
type Outcome struct {
	State State
	// Execution, when Acquired.
	Execution Execution
	// Fence, when Acquired: at least 1, and greater with every takeover of the
	// key; a release that is remembered does not bring it back. Whoever can
	// compare it refuses writes that carry a lesser one.
	Fence uint64
	// TakenOver, when Acquired: an orphan was taken over, so that the work
	// may have been done already.
	TakenOver bool
	// Transactional, when Acquired: the record and the handler's writes commit
	// together, and a release rolls both back.
	Transactional bool
	// Record, when Done: what Complete was given. It is the caller's to keep,
	// and must not be changed.
	Record []byte
	// Attempt that was released, when Superseded.
	Attempt int64
	// Fingerprint of the owner's request, when Done, Running or Orphaned.
	Fingerprint Fingerprint
}

// Execution is a claim that was acquired. Its methods are called by one
// goroutine at a time, except Renew, which runs beside the handler. Complete
// or Release ends it; a crash does so too. Each of the three answers ErrLost,
// and changes nothing, if the key belongs to another owner by now.
type Execution interface {
	// Context returns the context for the handler: ctx, with whatever the
	// store gives its handlers, such as the transaction.
	Context(ctx context.Context) context.Context

	// Renew makes the lease begin anew, even one that has ended, as long as
	// nobody has taken the key over. On a transactional store it does nothing.
	Renew(ctx context.Context) error

	// Complete stores the record, which nobody changes afterwards, and makes
	// the key done. It also succeeds after the lease has ended, as long as
	// nobody has taken the key over; and again after it has succeeded, since
	// its answer may have been lost. After a Release it is lost.
	//
	// On a transactional store it commits. There an error that is
	// [ErrNotApplied] (or ErrLost) says that everything was rolled back, and
	// any other that the outcome is unknown: then Begin, which must not
	// overtake a commit that is still under way, tells. If the same execution
	// may well commit the next time, the error is [ErrRepeatable]; one that is
	// not is answered to the caller for good.
	Complete(ctx context.Context, record []byte) error

	// Release gives the key up, because nothing has happened under it, and
	// remembers the claim's attempt for the claim's ReleaseMemory. It succeeds
	// if the key was released before, or is absent; after Complete it is lost.
	// On a transactional store it rolls back.
	Release(ctx context.Context) error
}

// Undoer is implemented by an [Execution] of a transactional store that can
// roll back the handler's writes and keep the claim. Guard calls it before it
// records an error as the handler's answer, so that an error undoes what the
// handler wrote before it failed. Where it is not implemented, those writes
// commit with the record.
type Undoer interface {
	Undo(ctx context.Context) error
}

// ErrLost is returned by the methods of an [Execution] whose key belongs to
// another owner. On a store that can forget, an absent key is lost too, for
// Renew and Complete.
var ErrLost = errors.New("idempotency: the claim is lost to another owner")

// ErrNotApplied is what an error of a [Store] is, by errors.Is, if it proves
// that the operation changed nothing, such as a refused connection. See
// [NotApplied].
var ErrNotApplied = errors.New("idempotency: nothing was changed in the store")

// NotApplied marks an error of a [Store] as [ErrNotApplied]. The text stays.
// NotApplied(nil) is nil.
func NotApplied(err error) error {
	if err == nil {
		return nil
	}
	return &notAppliedError{err}
}

// ErrRepeatable is what an error of [Execution].Complete is, by errors.Is, if
// everything was rolled back for a reason that a repetition of the execution can
// mend: a serialization failure, a deadlock, a connection that was lost before
// the commit. Such an error is [ErrNotApplied], too. A constraint that is checked
// at the commit, a table that is gone or a missing permission is not repeatable.
// See [Repeatable].
var ErrRepeatable = errors.New("idempotency: nothing was changed in the store, and a repetition may succeed")

// Repeatable marks an error of a [Store] as [ErrRepeatable] and
// [ErrNotApplied]. The text stays. Repeatable(nil) is nil.
func Repeatable(err error) error {
	if err == nil {
		return nil
	}
	return &repeatableError{err}
}

type repeatableError struct{ err error }

func (e *repeatableError) Error() string { return e.err.Error() }
func (e *repeatableError) Unwrap() error { return e.err }
func (e *repeatableError) Is(target error) bool {
	return target == ErrRepeatable || target == ErrNotApplied
}

type notAppliedError struct{ err error }

func (e *notAppliedError) Error() string        { return e.err.Error() }
func (e *notAppliedError) Unwrap() error        { return e.err }
func (e *notAppliedError) Is(target error) bool { return target == ErrNotApplied }

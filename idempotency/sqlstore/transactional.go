package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// ErrTxUnused is returned by Complete when the handler of an endpoint that was
// declared to be keyed ([idempotency.Claim].Declared) has succeeded without a
// statement on [Tx], and without having said [NoWrites]. It probably wrote on
// a connection of its own, where a rollback does not reach, and a second
// execution would write again. So that there is none, the key becomes done,
// with an error as its record that says the same. Of other endpoints it is taken
// to write nothing, and a warning says so, once for each.
var ErrTxUnused = errors.New("sqlstore: the handler did not use its transaction: " +
	"write through sqlstore.Tx(ctx), or declare sqlstore.NoWrites(ctx); what was written elsewhere is not undone")

// errRolledBack says that the claim's row is gone at the end of the handler.
var errRolledBack = errors.New("sqlstore: the transaction was rolled back while the handler ran, " +
	"as after a deadlock whose error it ignored; nothing was written")

// errTooLong says that the transaction did not outlast the handler.
var errTooLong = errors.New("sqlstore: the execution took longer than its timeout; its transaction was rolled back")

// beginTransactional claims a key in a transaction that the handler's writes
// will share. Most replays need no more than one look. The first claim does not
// wait; those after it do, in one of the slots for that.
func (s *Store) beginTransactional(ctx context.Context, c *claim) (idempotency.Outcome, error) {
	until := time.Now().Add(c.Wait)
	var wait time.Duration
	for waiting := false; ; {
		seen, err := s.look(ctx, c)
		if err != nil {
			return idempotency.Outcome{}, err
		}
		if seen != nil {
			if out, _ := seen.outcome(c); out.State != 0 {
				return s.replayed(ctx, c.Key, out, seen), nil
			}
		}
		out, err := s.tryTransaction(ctx, c, seen, wait)
		switch left := time.Until(until); {
		case ctx.Err() != nil && err != nil:
			return out, err
		case classify(err) != contended:
			return out, err
		case left <= 0, !waiting && !s.waiters.enter(ctx, left):
			return idempotency.Outcome{State: idempotency.Running}, nil
		case !waiting:
			waiting = true
			defer s.waiters.leave()
		}
		wait = s.dialect.patience(max(0, time.Until(until)))
	}
}

// tryTransaction begins again where a transaction has lost against another, or
// a connection of the pool turned out to be dead.
func (s *Store) tryTransaction(
	ctx context.Context, c *claim, seen *row, wait time.Duration,
) (out idempotency.Outcome, err error) {
	const most = 5
	for range most {
		out, err = s.transact(ctx, c, seen, wait)
		if kind := classify(err); ctx.Err() != nil || kind != conflict && kind != broken {
			break
		}
	}
	return out, err
}

func (s *Store) transact(
	ctx context.Context, c *claim, seen *row, wait time.Duration,
) (idempotency.Outcome, error) {
	ss, err := s.openSession(ctx, beginning{lock: s.lockName(c.Key), wait: wait, timeout: c.Timeout})
	if err != nil {
		return idempotency.Outcome{}, err
	}
	// What the lease is to others' eyes, should the handler have made the
	// database commit halfway.
	out, err := s.tableIn(ss).claim(ctx, c, c.Timeout, seen)
	if err == nil && out.State == idempotency.Acquired {
		if err = s.dialect.claimed(ctx, ss); err == nil {
			e := s.newExecution(c, ss)
			out.Execution, out.Transactional = e, true
			return out, nil
		}
	}
	ss.rollback(ctx)
	if err != nil {
		return idempotency.Outcome{}, err
	}
	return out, nil
}

// lockName names a key's lock on the server, which has one space of names for
// all of its databases, and 64 characters.
func (s *Store) lockName(key idempotency.StoreKey) string {
	h := sha256.New()
	h.Write([]byte(s.id))
	h.Write(key[:])
	return "oncemore/" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// execution is a claim whose transaction is open.
type execution struct {
	store   *Store
	claim   *claim
	handler *transaction
	endLife context.CancelFunc
	stop    func() bool // of the timeout

	mu       sync.Mutex
	session  *session // nil when it is over
	undone   bool     // nothing of what the handler wrote is left
	complete error    // the answer of Complete, once over
	release  error    // the answer of Release, once over
}

func (s *Store) handlerOf(life context.Context, ss *session) *transaction {
	t := &transaction{tx: ss.tx, session: ss, life: life, isolation: s.dialect.isolation()}
	t.until, _ = life.Deadline()
	return t
}

func (s *Store) newExecution(c *claim, ss *session) *execution {
	// Nothing of a caller's context: whose values a handler's statement sees is
	// said by the context that it comes with.
	life, endLife := context.WithTimeoutCause(context.Background(), c.Timeout, errTooLong)
	return &execution{
		store: s, claim: c, session: ss, endLife: endLife,
		handler: s.handlerOf(life, ss),
		stop:    context.AfterFunc(life, ss.expire),
	}
}

// Context returns ctx with the transaction in it, see [Tx].
func (e *execution) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, transactionKey{}, e.handler)
}

// Renew does nothing: the claim lasts as long as the transaction.
func (e *execution) Renew(context.Context) error { return nil }

// over remembers how the session ended.
func (e *execution) over(complete, release error) {
	e.session, e.complete, e.release = nil, complete, release
	e.stop()
	e.endLife()
}

// Undo takes back what the handler wrote, and keeps the claim.
func (e *execution) Undo(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session == nil {
		return e.complete
	}
	if err := errors.Join(e.handler.end(ctx), e.undo(ctx)); err != nil {
		return e.fail(ctx, err)
	}
	e.undone = true
	return nil
}

func (e *execution) undo(ctx context.Context) error {
	return e.store.dialect.undo(ctx, e.session, e.reclaim)
}

// reclaim claims the row again after a rollback. If the claim is still there, it
// was committed.
func (e *execution) reclaim(ctx context.Context) error {
	t := e.store.tableIn(e.session)
	added, err := t.add(ctx, e.claim, running, e.claim.Timeout, e.claim.Timeout+e.claim.Retention)
	if err != nil || added {
		return err
	}
	seen, err := t.find(ctx, e.claim)
	if err == nil && seen != nil && seen.state == running && seen.owner == e.claim.Owner {
		return ErrTxEnded
	}
	var out idempotency.Outcome
	if err == nil {
		out, err = t.claim(ctx, e.claim, e.claim.Timeout, seen)
	}
	if err == nil && out.State != idempotency.Acquired {
		err = idempotency.ErrLost
	}
	return err
}

// fail ends the session because of cause. It returns the cause as proof that
// nothing was written, unless that is not so.
func (e *execution) fail(ctx context.Context, cause error) error {
	if errors.Is(cause, ErrTxEnded) {
		return e.abandon(ctx, cause)
	}
	cause = e.proven(cause)
	e.session.rollback(ctx)
	var release error
	if e.claim.ReleaseMemory > 0 { // a release in all but name
		release = e.store.releaseAnew(ctx, e.claim)
	}
	e.over(cause, release)
	return cause
}

// proven marks the cause of a rollback. A repetition mends what was lost to
// another transaction, or with the connection; but not what took too long.
func (e *execution) proven(cause error) error {
	switch {
	case e.handler.life.Err() != nil:
		return idempotency.NotApplied(errors.Join(errTooLong, cause))
	case e.handler.lost != nil:
		return idempotency.Repeatable(errors.Join(cause, e.handler.lost))
	case mendable(cause):
		return idempotency.Repeatable(cause)
	}
	return idempotency.NotApplied(cause)
}

// abandon ends an execution whose handler has ended its transaction, and leaves
// an orphan: nobody knows what lasts.
func (e *execution) abandon(ctx context.Context, cause error) error {
	e.session.discard()
	t, c := e.store.table(), e.claim
	added, err := t.add(ctx, c, running, 0, c.Retention)
	if err == nil && !added { // it was committed
		_, err = t.exec(ctx, &t.renew, int64(0), c.Retention.Microseconds(), c.key, c.ownerArgument())
	}
	cause = errors.Join(cause, err)
	e.over(cause, cause)
	return cause
}

// Complete stores the record and commits.
func (e *execution) Complete(ctx context.Context, record []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session == nil {
		return e.complete
	}
	var unused error
	if err := e.endHandler(ctx); err != nil {
		return e.fail(ctx, err)
	}
	if e.mustUse(ctx, record) {
		unused, record = ErrTxUnused, unusedRecord()
	}
	mine, err := e.store.dialect.settle(ctx, e.session, e.store.tableIn(e.session), e.claim, record)
	switch {
	case err != nil:
		return e.fail(ctx, err)
	case !mine && e.handler.altered && e.handler.lost == nil: // in a procedure?
		return e.fail(ctx, ErrTxEnded)
	case !mine:
		return e.fail(ctx, errRolledBack)
	}
	if err := e.commit(ctx); err != nil {
		e.over(err, err)
		return err
	}
	e.over(unused, idempotency.ErrLost)
	e.store.remember(ctx, e.claim.Key, record, e.claim.Fingerprint, e.claim.Retention)
	return unused
}

// endHandler lets the handler do no more.
func (e *execution) endHandler(ctx context.Context) error {
	err := e.handler.end(ctx)
	if e.handler.mixed && !e.undone {
		err = errors.Join(ErrTxMixed, err)
	}
	return err
}

func (e *execution) commit(ctx context.Context) error {
	err := e.session.commit(ctx)
	switch {
	case err == nil:
		return nil
	case notCommitted(err) && mendable(err):
		return idempotency.Repeatable(fmt.Errorf("sqlstore: commit: %w", err))
	case notCommitted(err):
		return idempotency.NotApplied(fmt.Errorf("sqlstore: commit: %w", err))
	}
	return fmt.Errorf("sqlstore: commit, its outcome is unknown: %w", err)
}

// mustUse reports whether it is an error that the handler has not used its
// transaction. One that has failed need not; nor one of an endpoint that nobody has
// declared to be keyed, whose calls may carry keys without its knowing.
func (e *execution) mustUse(ctx context.Context, record []byte) bool {
	if e.store.txOptional || e.handler.used {
		return false
	}
	if answer, err := idempotency.DecodeRecord(record); err == nil && answer.Content == idempotency.ContentError {
		return false
	}
	if !e.claim.Declared {
		e.store.unused.warn(ctx, e.store.logger, &e.claim.Scope)
	}
	return e.claim.Declared
}

func unusedRecord() []byte {
	return idempotency.Record{Content: idempotency.ContentError, Err: &idempotency.RecordedError{
		ID: "oncemore.sqlstore", Code: 500, Detail: ErrTxUnused.Error(), Status: "Internal Server Error",
	}}.Encode()
}

// Release rolls back, and remembers the attempt.
func (e *execution) Release(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session == nil {
		return e.release
	}
	_ = e.handler.end(ctx) // all is undone, open savepoints too
	if e.claim.ReleaseMemory == 0 {
		return e.releaseUnremembered(ctx)
	}
	err := e.releaseHere(ctx)
	if errors.Is(err, ErrTxEnded) {
		return e.abandon(ctx, err)
	}
	if err != nil {
		if again := e.store.releaseAnew(ctx, e.claim); again != nil {
			err = errors.Join(err, again)
		} else {
			err = nil
		}
	}
	e.over(idempotency.ErrLost, err)
	return err
}

// releaseHere ends the session. No other claim comes between the rollback and
// the release.
func (e *execution) releaseHere(ctx context.Context) error {
	err := e.undo(ctx)
	var mine bool
	if err == nil {
		mine, err = e.store.tableIn(e.session).giveUp(ctx, e.claim)
	}
	if err == nil && !mine {
		err = errRolledBack
	}
	switch {
	case errors.Is(err, ErrTxEnded): // the session is not over
		return err
	case err != nil:
		e.session.rollback(ctx)
		return err
	}
	return e.session.commit(ctx)
}

// releaseUnremembered rolls back.
func (e *execution) releaseUnremembered(ctx context.Context) error {
	if e.handler.used {
		if err := e.undo(ctx); errors.Is(err, ErrTxEnded) {
			return e.abandon(ctx, err)
		}
	}
	e.session.rollback(ctx)
	e.over(idempotency.ErrLost, nil)
	return nil
}

// releaseWait is how long a release waits for the server to notice that a
// connection is gone: it may have to end a statement first.
const releaseWait = time.Second

// releaseAnew remembers an attempt whose own connection is gone, and with it
// all that its handler wrote.
func (s *Store) releaseAnew(ctx context.Context, c *claim) error {
	until := time.Now().Add(releaseWait)
	for {
		left := max(0, time.Until(until))
		err := s.releaseOn(ctx, c, s.dialect.patience(left))
		if classify(err) != contended || left == 0 || ctx.Err() != nil {
			return err
		}
	}
}

// releaseOn claims the key on another connection, to give it up.
func (s *Store) releaseOn(ctx context.Context, c *claim, wait time.Duration) error {
	ss, err := s.openSession(ctx, beginning{lock: s.lockName(c.Key), wait: wait, timeout: c.Timeout})
	if err != nil {
		return err
	}
	t := s.tableIn(ss)
	out, err := t.claim(ctx, c, c.Timeout, nil)
	switch {
	case err != nil:
	case out.State != idempotency.Acquired:
		err = idempotency.ErrLost
	default:
		_, err = t.giveUp(ctx, c)
	}
	if err != nil {
		ss.rollback(ctx)
		return err
	}
	return ss.commit(ctx)
}

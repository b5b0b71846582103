package sqlstore

import (
	"context"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// beginDetached claims a key with a lease, in one statement that commits by
// itself.
func (s *Store) beginDetached(ctx context.Context, c *claim) (idempotency.Outcome, error) {
	seen, err := s.look(ctx, c)
	if err != nil {
		return idempotency.Outcome{}, idempotency.NotApplied(err)
	}
	if seen != nil {
		if out, _ := seen.outcome(c); out.State != 0 {
			return s.replayed(ctx, c.Key, out, seen), nil
		}
	}
	var out idempotency.Outcome
	err = persist(ctx, func() (err error) {
		out, err = s.table().claim(ctx, c, c.Lease, seen)
		seen = nil // an error leaves it open
		return err
	})
	switch {
	case err != nil:
		return idempotency.Outcome{}, provenIf(unsent(err), err)
	case out.State == idempotency.Acquired:
		out.Execution = &lease{store: s, claim: c}
	}
	return out, nil
}

// provenIf marks an error that proves that nothing was changed.
func provenIf(proven bool, err error) error {
	if proven {
		return idempotency.NotApplied(err)
	}
	return err
}

// persist repeats an operation that lost against another transaction. Such a
// loss is soon over.
func persist(ctx context.Context, operation func() error) error {
	const most = 5
	pause := time.Millisecond
	for i := 1; ; i++ {
		err := operation()
		if i == most || classify(err) != conflict {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		pause *= 2
	}
}

// lease is a claim of a detached store. It has no state: the table has it.
type lease struct {
	store *Store
	claim *claim
}

// Context hides a transaction that ctx may carry: it is another claim's.
func (l *lease) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, transactionKey{}, (*transaction)(nil))
}

// Renew makes the lease begin anew.
func (l *lease) Renew(ctx context.Context) error {
	c := l.claim
	mine, err := l.change(ctx, func() (bool, error) {
		t := l.store.table()
		return t.exec(ctx, &t.renew, c.Lease.Microseconds(), (c.Lease + c.Retention).Microseconds(), c.key, c.ownerArgument())
	})
	if err == nil && !mine {
		return idempotency.ErrLost
	}
	return err
}

// Complete stores the record.
func (l *lease) Complete(ctx context.Context, record []byte) error {
	c := l.claim
	mine, err := l.change(ctx, func() (bool, error) { return l.store.table().finish(ctx, c, record) })
	if err != nil {
		return err
	}
	if !mine {
		// An earlier answer may have been lost.
		r, err := l.store.look(ctx, c)
		switch {
		case err != nil:
			return err
		case r == nil || r.state != done || r.owner != c.Owner:
			return idempotency.ErrLost
		}
	}
	l.store.remember(ctx, c.Key, record, c.Fingerprint, c.Retention)
	return nil
}

// Release gives the key up.
func (l *lease) Release(ctx context.Context) error {
	c := l.claim
	mine, err := l.change(ctx, func() (bool, error) { return l.store.table().giveUp(ctx, c) })
	if err != nil || mine {
		return err
	}
	r, err := l.store.look(ctx, c)
	switch {
	case err != nil:
		return err
	case r == nil:
		return l.recordRelease(ctx)
	case r.state == released && r.owner == c.Owner, r.expiresAt <= r.now:
		return nil
	}
	return idempotency.ErrLost
}

// recordRelease remembers a release where there is no claim. A cancelled statement
// may reach the server late, and would otherwise make a claim that nobody has.
func (l *lease) recordRelease(ctx context.Context) error {
	c := l.claim
	if c.ReleaseMemory == 0 {
		return nil
	}
	_, err := l.change(ctx, func() (bool, error) {
		return l.store.table().add(ctx, c, released, c.ReleaseMemory, c.ReleaseMemory)
	})
	return err
}

func (l *lease) change(ctx context.Context, operation func() (bool, error)) (mine bool, err error) {
	err = persist(ctx, func() (err error) {
		mine, err = operation()
		return err
	})
	return mine, provenIf(unsent(err), err)
}

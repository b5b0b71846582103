package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// state is the column of that name. Its numbers are stored: never change one.
type state int64

const (
	running state = iota + 1
	done
	released
)

// row is what the table knows of a key, at now by the database's clock. Times
// are microseconds since 1970.
type row struct {
	state      state
	owner      idempotency.Owner
	fence      int64
	takenOver  bool
	attempt    int64
	print      idempotency.Fingerprint
	leaseUntil int64
	expiresAt  int64
	record     []byte
	now        int64
}

// scanRow reads the columns of [statements.look]; nil without an error says
// that there is no row.
func scanRow(from *sql.Row) (*row, error) {
	var r row
	var owner, fingerprint []byte
	err := from.Scan(&r.state, &owner, &r.fence, &r.takenOver, &r.attempt, &fingerprint,
		&r.leaseUntil, &r.expiresAt, &r.record, &r.now)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil //nolint:nilnil // no row is no error
	case err != nil:
		return nil, err
	case r.state < running || r.state > released || r.fence < 0 || len(owner) != len(r.owner) || len(fingerprint) != len(r.print):
		return nil, errDamaged
	}
	copy(r.owner[:], owner)
	copy(r.print[:], fingerprint)
	return &r, nil
}

var errDamaged = errors.New("sqlstore: the row of the key is damaged")

// next is how a claim will replace a row that is free to be claimed.
type next struct {
	fence     int64
	takenOver bool
}

// outcome decides what a claim gets that finds the row. A zero State says that
// the row is free, and that the claim may replace it.
func (r *row) outcome(c *claim) (idempotency.Outcome, next) {
	h := r.held()
	state, fence, takenOver := h.ClaimedBy(&c.Claim)
	switch state { //nolint:exhaustive // the others show no more
	case idempotency.Acquired:
		return idempotency.Outcome{}, next{int64(fence), takenOver} //nolint:gosec // it was read out of an int64
	case idempotency.Done:
		return idempotency.Outcome{State: state, Record: r.content(), Fingerprint: r.print}, next{}
	case idempotency.Superseded:
		return idempotency.Outcome{State: state, Attempt: r.attempt}, next{}
	}
	return idempotency.Outcome{State: state, Fingerprint: r.print}, next{}
}

// held is the row for a claim that finds it.
func (r *row) held() idempotency.Holding {
	if r.expiresAt <= r.now {
		return idempotency.Holding{State: idempotency.Absent}
	}
	state, _ := r.shownState()
	return idempotency.Holding{
		State: state, Owner: r.owner, Fence: uint64(r.fence), TakenOver: r.takenOver, //nolint:gosec // not negative
		Attempt: r.attempt, Fingerprint: r.print,
	}
}

// content is the record, never nil: a driver may read an empty one as NULL.
func (r *row) content() []byte {
	if r.record == nil {
		return []byte{}
	}
	return r.record
}

// left is how much longer the row will be kept.
func (r *row) left() time.Duration {
	return time.Duration(r.expiresAt-r.now) * time.Microsecond
}

func damaged(key idempotency.StoreKey, err error) error {
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("%w: store_key %v", err, key)
	}
	return err
}

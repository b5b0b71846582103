package sqlstore

import (
	"database/sql"
	"errors"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// entryColumns are what [scanEntry] reads.
const entryColumns = `store_key, state, owner, fence, attempt, fingerprint, lease_until, expires_at,
	claimed_at, ended_at, service, endpoint, caller, call_key, instance, {now}`

// scanEntry reads a row as operators see it; of none, or one that has expired, the
// state is Absent. The record is read where there is room for it.
func scanEntry(from interface{ Scan(into ...any) error }, record *[]byte) (idempotency.Entry, error) {
	var e idempotency.Entry
	var r row
	var key, owner, fingerprint []byte
	var claimed, ended int64
	into := []any{
		&key, &r.state, &owner, &r.fence, &e.Attempt, &fingerprint, &r.leaseUntil, &r.expiresAt, &claimed, &ended,
		&e.Scope.Service, &e.Scope.Endpoint, &e.Scope.Caller, &e.Scope.Key, &e.Instance, &r.now,
	}
	if record != nil {
		into = append(into, record)
	}
	absent := idempotency.Entry{State: idempotency.Absent}
	switch err := from.Scan(into...); {
	case errors.Is(err, sql.ErrNoRows):
		return absent, nil
	case err != nil:
		return idempotency.Entry{}, err
	case r.state < running || r.state > released || r.fence < 0 ||
		len(key) != len(e.Key) || len(owner) != len(e.Owner) || len(fingerprint) != len(e.Fingerprint):
		return idempotency.Entry{}, errDamaged
	}
	copy(e.Key[:], key)
	if r.expiresAt <= r.now {
		absent.Key = e.Key
		return absent, nil
	}
	copy(e.Owner[:], owner)
	copy(e.Fingerprint[:], fingerprint)
	e.Fence = uint64(r.fence)
	e.State, e.LeaseUntil = r.shownState()
	e.ClaimedAt, e.EndedAt, e.ExpiresAt = timeOf(claimed), timeOf(ended), timeOf(r.expiresAt)
	return e, nil
}

// shownState is what operators call the state of a row that has not expired, and
// the end of its lease.
func (r *row) shownState() (idempotency.State, time.Time) {
	switch {
	case r.state == done:
		return idempotency.Done, time.Time{}
	case r.state == released:
		return idempotency.Released, time.Time{}
	case r.leaseUntil > r.now:
		return idempotency.Running, timeOf(r.leaseUntil)
	}
	return idempotency.Orphaned, timeOf(r.leaseUntil)
}

// stateOf is the column's value for a state that operators see.
func stateOf(s idempotency.State) state {
	switch s {
	case idempotency.Done:
		return done
	case idempotency.Released:
		return released
	default:
		return running
	}
}

// timeOf returns a time of the table; zero for one that is not known.
func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

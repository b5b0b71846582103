package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// statement is one SQL text, prepared where that saves round trips.
type statement struct {
	text     string
	parts    []string // what is around the parameters
	prepared *sql.Stmt
}

// statements are all that the store says about rows. Parameters are ?, the
// database's clock is {now}, what makes an INSERT of a key that is there
// change nothing is {onconflict}, and what locks a row {forupdate}. Tables are
// called as in [naming].
type statements struct {
	look, hold, insert, replace, renew, complete, release, forget, sweep statement
	expired, show, touch, resolve, remove                                statement
}

// frequent are those that are worth being prepared.
func (s *statements) frequent() []*statement {
	return []*statement{
		&s.look, &s.hold, &s.insert, &s.replace, &s.renew, &s.complete, &s.release, &s.forget, &s.sweep,
	}
}

func (s *statements) rare() []*statement {
	return []*statement{&s.expired, &s.show, &s.touch, &s.resolve, &s.remove}
}

func newStatements(d dialect, n naming) *statements {
	const look = `SELECT state, owner, fence, taken_over, attempt, fingerprint,
		lease_until, expires_at, record, {now} FROM {record} WHERE store_key = ?`
	s := &statements{
		look: statement{text: look},
		hold: statement{text: look + " {forupdate}"},
		insert: statement{text: `INSERT INTO {record}
			(store_key, state, owner, fence, taken_over, attempt, fingerprint, lease_until, expires_at, sweep_at,
			service, endpoint, caller, call_key, instance, claimed_at)
			VALUES (?, ?, ?, 1, 0, ?, ?, {now} + ?, {now} + ?, {now} + ?, ?, ?, ?, ?, ?, {now}) {onconflict}`},
		// The row must still be the one that was looked at.
		replace: statement{text: `UPDATE {record}
			SET state = 1, owner = ?, fence = ?, taken_over = ?, attempt = ?, fingerprint = ?,
				lease_until = {now} + ?, expires_at = {now} + ?, sweep_at = {now} + ?, record = NULL,
				service = ?, endpoint = ?, caller = ?, call_key = ?, instance = ?, claimed_at = {now}, ended_at = 0
			WHERE store_key = ? AND state = ? AND owner = ? AND fence = ? AND lease_until = ? AND expires_at = ?`},
		renew: statement{text: `UPDATE {record} SET lease_until = {now} + ?, expires_at = {now} + ?
			WHERE store_key = ? AND owner = ? AND state = 1`},
		complete: statement{text: `UPDATE {record} SET state = 2, record = ?, expires_at = {now} + ?, ended_at = {now}
			WHERE store_key = ? AND owner = ? AND state = 1`},
		release: statement{text: `UPDATE {record} SET state = 3, expires_at = {now} + ?, ended_at = {now}
			WHERE store_key = ? AND owner = ? AND state = 1`},
		forget: statement{text: `DELETE FROM {record} WHERE store_key = ? AND owner = ? AND state = 1`},
		expired: statement{text: `SELECT store_key FROM {record} WHERE sweep_at <= {now} AND expires_at <= {now}
			ORDER BY sweep_at, store_key LIMIT ` + strconv.Itoa(sweepBatch)},
		show: statement{text: "SELECT " + entryColumns + ", record FROM {record} WHERE store_key = ?"},
		// Waits for a transaction that has the row, on every database.
		touch: statement{text: `UPDATE {record} SET attempt = attempt WHERE store_key = ?`},
		resolve: statement{text: `UPDATE {record} SET state = ?, owner = ?, record = ?, expires_at = {now} + ?,
			sweep_at = {now} + ?, ended_at = {now} WHERE store_key = ? AND state = ? AND owner = ? AND fence = ?`},
		remove: statement{text: `DELETE FROM {record} WHERE store_key = ? AND state = ? AND owner = ? AND fence = ?`},
		sweep:  statement{text: `DELETE FROM {record} WHERE store_key = ? AND expires_at <= {now}`},
	}
	for _, st := range append(s.frequent(), s.rare()...) {
		st.spell(d, n)
	}
	return s
}

// spell puts the statement into the database's own words.
func (s *statement) spell(d dialect, n naming) {
	var b strings.Builder
	for part := range strings.SplitSeq(s.text, "?") {
		if len(s.parts) > 0 {
			b.WriteString(d.parameter(len(s.parts)))
		}
		part = n.expand.Replace(d.rewrite(part))
		s.parts = append(s.parts, part)
		b.WriteString(part)
	}
	s.text = b.String()
}

// prepare has each connection prepare a statement once. PostgreSQL's drivers do
// so themselves, in the way that suits what lies between them and the server.
func (s *statements) prepare(ctx context.Context, db *sql.DB) error {
	for _, st := range s.frequent() {
		var err error
		if st.prepared, err = db.PrepareContext(ctx, st.text); err != nil {
			return errors.Join(err, s.close())
		}
	}
	return nil
}

func (s *statements) close() error {
	var errs []error
	for _, st := range s.frequent() {
		if st.prepared != nil {
			errs = append(errs, st.prepared.Close())
			st.prepared = nil
		}
	}
	return errors.Join(errs...)
}

// finishWritten returns, behind other statements, that of finish with its arguments
// written out for PostgreSQL.
func (s *statements) finishWritten(before string, c *claim, record []byte) string {
	const around = 200 // of the numbers, the hashes and what is around them
	size := len(before) + 2*len(record) + around
	for _, part := range s.complete.parts {
		size += len(part)
	}
	text := append(make([]byte, 0, size), before...)
	text = append(text, s.complete.parts[0]...)
	text = append(appendBytes(text, record), s.complete.parts[1]...)
	text = append(strconv.AppendInt(text, c.Retention.Microseconds(), 10), s.complete.parts[2]...)
	text = append(appendBytes(text, c.Key[:]), s.complete.parts[3]...)
	text = append(appendBytes(text, c.Owner[:]), s.complete.parts[4]...)
	return string(text)
}

// appendBytes writes bytes in a way that no setting of a session changes.
func appendBytes(text, raw []byte) []byte {
	text = append(text, "pg_catalog.decode('"...)
	return append(hex.AppendEncode(text, raw), "', 'hex')"...)
}

// table is where statements are executed: in a transaction, or, without one,
// each in its own.
type table struct {
	*statements
	tables *tables
	db     *sql.DB
	tx     *sql.Tx
}

func (t table) exec(ctx context.Context, s *statement, args ...any) (changed bool, err error) {
	var result sql.Result
	switch {
	case t.tx != nil && s.prepared != nil:
		result, err = t.tx.StmtContext(ctx, s.prepared).ExecContext(ctx, args...) //nolint:sqlclosecheck // with tx
	case t.tx != nil:
		result, err = t.tx.ExecContext(ctx, s.text, args...)
	case s.prepared != nil:
		result, err = s.prepared.ExecContext(ctx, args...)
	default:
		result, err = t.db.ExecContext(ctx, s.text, args...)
	}
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

func (t table) row(ctx context.Context, s *statement, args ...any) *sql.Row {
	switch {
	case t.tx != nil && s.prepared != nil:
		return t.tx.StmtContext(ctx, s.prepared).QueryRowContext(ctx, args...) //nolint:sqlclosecheck // with tx
	case t.tx != nil:
		return t.tx.QueryRowContext(ctx, s.text, args...)
	case s.prepared != nil:
		return s.prepared.QueryRowContext(ctx, args...)
	}
	return t.db.QueryRowContext(ctx, s.text, args...)
}

// find returns the key's row, nil if there is none.
func (t table) find(ctx context.Context, c *claim) (*row, error) {
	r, err := scanRow(t.row(ctx, &t.look, c.key))
	return r, damaged(c.Key, err)
}

// holdFree returns a row that is free, as it is now. In a transaction it waits
// for its turn, where many want the row, and then nobody else can be faster.
func (t table) holdFree(ctx context.Context, r *row, c *claim) (*row, error) {
	if t.tx == nil {
		return r, nil
	}
	r, err := scanRow(t.row(ctx, &t.hold, c.key))
	return r, damaged(c.Key, err)
}

// claim makes the row running and the claim's own, or says what it found.
// Acquired comes without an Execution. seen is the row as it was last seen.
func (t table) claim(ctx context.Context, c *claim, lease time.Duration, seen *row) (
	idempotency.Outcome, error,
) {
	const most = 8 // each time round, somebody else was faster
	for range most {
		out, err := t.claimSeen(ctx, c, lease, seen)
		if err != nil || out.State != 0 {
			return out, err
		}
		if seen, err = t.find(ctx, c); err != nil {
			return idempotency.Outcome{}, err
		}
	}
	return idempotency.Outcome{}, errHot
}

// claimSeen returns a zero State if the row is not as it was seen.
func (t table) claimSeen(ctx context.Context, c *claim, lease time.Duration, seen *row) (
	idempotency.Outcome, error,
) {
	if seen == nil {
		mine, err := t.add(ctx, c, running, lease, lease+c.Retention)
		return acquiredIf(mine, next{fence: 1}), err
	}
	if out, _ := seen.outcome(c); out.State != 0 {
		return out, nil
	}
	seen, err := t.holdFree(ctx, seen, c)
	if err != nil || seen == nil {
		return idempotency.Outcome{}, err
	}
	out, n := seen.outcome(c)
	if out.State != 0 {
		return out, nil
	}
	mine, err := t.overwrite(ctx, c, lease, seen, n)
	return acquiredIf(mine, n), err
}

func acquiredIf(mine bool, n next) idempotency.Outcome {
	if !mine {
		return idempotency.Outcome{}
	}
	return idempotency.Outcome{
		State: idempotency.Acquired, TakenOver: n.takenOver,
		Fence: uint64(n.fence), //nolint:gosec // at least 1
	}
}

var errHot = errors.New("sqlstore: the key changed again and again while it was claimed; begin again")

// add inserts a row for the claim; false says that the key has one.
func (t table) add(ctx context.Context, c *claim, as state, lease, kept time.Duration) (bool, error) {
	s := t.tables.show(c)
	added, err := t.exec(ctx, &t.insert, c.key, int64(as), c.ownerArgument(), c.Attempt, c.Fingerprint[:],
		lease.Microseconds(), kept.Microseconds(), kept.Microseconds(),
		s.service, s.endpoint, s.caller, s.key, s.instance)
	if c, _ := codeOf(err); c.mysql == duplicateEntry {
		return false, nil
	}
	return added, err
}

// duplicateEntry is MySQL's number for a key that is there: ER_DUP_ENTRY.
const duplicateEntry = 1062

// overwrite makes a free row the claim's; false says that it has changed since.
func (t table) overwrite(ctx context.Context, c *claim, lease time.Duration, r *row, n next) (bool, error) {
	takenOver := int64(0)
	if n.takenOver {
		takenOver = 1
	}
	kept := (lease + c.Retention).Microseconds()
	s := t.tables.show(c)
	return t.exec(ctx, &t.replace, c.ownerArgument(), n.fence, takenOver, c.Attempt, c.Fingerprint[:],
		lease.Microseconds(), kept, kept, s.service, s.endpoint, s.caller, s.key, s.instance,
		c.key, int64(r.state), r.owner[:], r.fence, r.leaseUntil, r.expiresAt)
}

// finish makes the claim's row done; false says that it is not the claim's.
func (t table) finish(ctx context.Context, c *claim, record []byte) (bool, error) {
	if record == nil {
		record = []byte{}
	}
	return t.exec(ctx, &t.complete, record, c.Retention.Microseconds(), c.key, c.ownerArgument())
}

// giveUp frees the claim's row; false says that it is not the claim's.
func (t table) giveUp(ctx context.Context, c *claim) (bool, error) {
	if c.ReleaseMemory == 0 {
		return t.exec(ctx, &t.forget, c.key, c.ownerArgument())
	}
	return t.exec(ctx, &t.release, c.ReleaseMemory.Microseconds(), c.key, c.ownerArgument())
}

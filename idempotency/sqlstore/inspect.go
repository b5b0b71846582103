package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

var _ idempotency.Inspector = (*Store)(nil)

// inspectWait is how long an inspection waits for a transaction that holds a key.
const inspectWait = 100 * time.Millisecond

// resolveWait is how long a resolution comes back for a key that is held, because it may
// be by other operators, who are soon done, or in a deadlock with them.
const resolveWait = time.Second

// Lookup implements [idempotency.Inspector]. A key that a transaction holds is
// Running, and nothing else is known of it. On SQLite, where one transaction holds
// all keys, that is what every key without a record is while an execution is under
// way, as for Begin.
func (s *Store) Lookup(ctx context.Context, key idempotency.StoreKey) (idempotency.Entry, error) {
	e, err := s.table().entry(ctx, key)
	if err == nil && e.State != idempotency.Done && e.State != idempotency.Running {
		e, err = s.lookUnheld(ctx, key)
	}
	if err != nil {
		return idempotency.Entry{}, fmt.Errorf("sqlstore: look up %v: %w", key, err)
	}
	return e, nil
}

// lookUnheld looks at a key that a transaction may be about to claim.
func (s *Store) lookUnheld(ctx context.Context, key idempotency.StoreKey) (idempotency.Entry, error) {
	switch held, err := s.dialect.held(ctx, s, key); {
	case err != nil:
		return idempotency.Entry{}, err
	case held:
		return idempotency.Entry{Key: key, State: idempotency.Running}, nil
	}
	return s.table().entry(ctx, key) // it may just have been committed
}

// rowHeld reports whether a transaction has a key's row, or is about to insert one.
func rowHeld(ctx context.Context, s *Store, key idempotency.StoreKey) (bool, error) {
	err := s.withKey(ctx, key, func(t table) (keep bool, err error) {
		if _, err := t.exec(ctx, &t.touch, key[:]); err != nil {
			return false, err
		}
		_, err = t.add(ctx, newClaim(idempotency.Claim{Key: key}), running, 0, 0)
		return false, err
	})
	if classify(err) == contended {
		return true, nil
	}
	return false, err
}

// entry returns what the table shows of a key.
func (t table) entry(ctx context.Context, key idempotency.StoreKey) (idempotency.Entry, error) {
	var record []byte
	e, err := scanEntry(t.row(ctx, &t.show, key[:]), &record)
	if e.State == idempotency.Absent {
		e.Key = key
	}
	if e.State == idempotency.Done {
		e.Record = append([]byte{}, record...)
	}
	return e, damaged(key, err)
}

// withKey does something with a key in a transaction that claims it as an execution
// does. It is undone unless it is to be kept. The error is contended where another
// transaction holds the key.
func (s *Store) withKey(ctx context.Context, key idempotency.StoreKey, do func(table) (keep bool, err error)) error {
	ss, err := s.openSession(ctx, beginning{lock: s.lockName(key), wait: inspectWait, timeout: time.Minute})
	if err != nil {
		return err
	}
	if keep, err := do(s.tableIn(ss)); err != nil || !keep {
		ss.rollback(ctx)
		return err
	}
	return ss.commit(ctx)
}

// seize waits until no other transaction has the key's row, nor is about to insert
// one. It leaves nothing behind.
func (t table) seize(ctx context.Context, key idempotency.StoreKey) error {
	if _, err := t.exec(ctx, &t.touch, key[:]); err != nil {
		return err
	}
	nobody := newClaim(idempotency.Claim{Key: key})
	added, err := t.add(ctx, nobody, running, 0, 0)
	if err == nil && added {
		_, err = t.exec(ctx, &t.forget, nobody.key, nobody.ownerArgument())
	}
	return err
}

// Resolve implements [idempotency.Inspector]. It has the store's own cache forget
// the key; caches of other processes keep a record that they have.
func (s *Store) Resolve(ctx context.Context, r idempotency.Resolution) error {
	err := s.resolve(ctx, &r)
	for begun := time.Now(); classify(err) == contended && time.Since(begun) < resolveWait; {
		err = s.resolve(ctx, &r)
	}
	switch {
	case classify(err) == contended:
		return fmt.Errorf("%w: a transaction holds it", idempotency.ErrLive)
	case errors.Is(err, idempotency.ErrChanged), errors.Is(err, idempotency.ErrLive):
		return err
	case err != nil:
		return fmt.Errorf("sqlstore: resolve %v: %w", r.Key, err)
	}
	s.forgetCached(ctx, r.Key)
	return nil
}

func (s *Store) resolve(ctx context.Context, r *idempotency.Resolution) error {
	return s.withKey(ctx, r.Key, func(t table) (bool, error) {
		if err := t.seize(ctx, r.Key); err != nil {
			return false, err
		}
		return true, t.settleBy(ctx, r)
	})
}

func (t table) settleBy(ctx context.Context, r *idempotency.Resolution) error {
	e, err := t.entry(ctx, r.Key)
	switch {
	case err != nil:
		return err
	case e.Owner == r.Owner && (e.State == idempotency.Done || e.State == idempotency.Released):
		return nil // an earlier answer was lost
	case e.State == idempotency.Absent, e.Seen() != r.Seen:
		return idempotency.ErrChanged
	case e.State == idempotency.Running && !r.Force:
		return idempotency.ErrLive
	}
	was := stateOf(e.State)
	fence := int64(e.Fence) //nolint:gosec // it was read out of an int64
	var changed bool
	switch {
	case r.Record != nil:
		kept := r.Retention.Microseconds()
		changed, err = t.exec(ctx, &t.resolve, int64(done), r.Owner[:], r.Record, kept, kept,
			r.Key[:], int64(was), e.Owner[:], fence)
	case r.ReleaseMemory > 0:
		kept := r.ReleaseMemory.Microseconds()
		changed, err = t.exec(ctx, &t.resolve, int64(released), r.Owner[:], nil, kept, kept,
			r.Key[:], int64(was), e.Owner[:], fence)
	default:
		changed, err = t.exec(ctx, &t.remove, r.Key[:], int64(was), e.Owner[:], fence)
	}
	if err == nil && !changed {
		err = idempotency.ErrChanged
	}
	return err
}

// listPage is how many entries are read at a time.
const listPage = 100

// List implements [idempotency.Inspector], in the order of the claims; those of
// which nobody knows when they were made come first. It collects the keys before it
// yields the first entry: 32 bytes each. A filter that is not by state, and does
// not look for what is older, reads the whole table.
func (s *Store) List(ctx context.Context, f idempotency.Filter) iter.Seq2[idempotency.Entry, error] {
	return func(yield func(idempotency.Entry, error) bool) {
		keys, err := s.selectKeys(ctx, &f)
		for len(keys) > 0 && err == nil {
			page := keys[:min(listPage, len(keys))]
			keys = keys[len(page):]
			var entries map[idempotency.StoreKey]idempotency.Entry
			entries, err = s.readEntries(ctx, page)
			for _, key := range page {
				if e, ok := entries[key]; ok && selectsState(&f, e.State) && !yield(e, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(idempotency.Entry{}, fmt.Errorf("sqlstore: list: %w", err))
		}
	}
}

// selectsState looks at the state alone: the rest of an entry does not change.
func selectsState(f *idempotency.Filter, s idempotency.State) bool {
	return (&idempotency.Filter{States: f.States}).Selects(&idempotency.Entry{State: s})
}

// selectKeys returns the keys that the filter selects at this moment.
func (s *Store) selectKeys(ctx context.Context, f *idempotency.Filter) (keys []idempotency.StoreKey, err error) {
	query := s.selection(f)
	rows, err := s.db.QueryContext(ctx, query.text(), query.args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		if len(raw) != len(idempotency.StoreKey{}) {
			return nil, fmt.Errorf("%w: store_key %x", errDamaged, raw)
		}
		keys = append(keys, idempotency.StoreKey(raw))
	}
	return keys, rows.Err()
}

// query is a statement that is put together, with its arguments.
type query struct {
	tables *tables
	parts  []string
	args   []any
}

// add appends a text in which ? stands for the argument.
func (q *query) add(text string, args ...any) {
	text = q.tables.expand.Replace(q.tables.dialect.rewrite(text))
	for _, arg := range args {
		q.args = append(q.args, arg)
		text = strings.Replace(text, "?", q.tables.dialect.parameter(len(q.args)), 1)
	}
	q.parts = append(q.parts, text)
}

func (q *query) text() string { return strings.Join(q.parts, " ") }

func (s *Store) selection(f *idempotency.Filter) *query {
	q := &query{tables: &s.tables}
	q.add("SELECT store_key FROM {record} WHERE expires_at > {now}")
	var states []string
	for _, state := range f.States {
		states = append(states, stateCondition(state))
	}
	if len(states) > 0 {
		q.add("AND (" + strings.Join(states, " OR ") + ")")
	}
	for _, c := range []struct{ column, value string }{
		{"service", f.Service}, {"endpoint", f.Endpoint}, {"caller", f.Caller}, {"call_key", f.Key},
	} {
		if c.value != "" {
			q.add("AND "+c.column+" = ?", c.value)
		}
	}
	if f.OlderThan > 0 {
		q.add("AND claimed_at <= {now} - ?", f.OlderThan.Microseconds())
	}
	q.add("ORDER BY claimed_at, store_key")
	if f.Limit > 0 {
		q.add("LIMIT ?", int64(f.Limit))
	}
	return q
}

// stateCondition is how rows of a state are selected.
func stateCondition(s idempotency.State) string {
	switch s {
	case idempotency.Done:
		return "state = 2"
	case idempotency.Released:
		return "state = 3"
	case idempotency.Running:
		return "(state = 1 AND lease_until > {now})"
	case idempotency.Orphaned:
		return "(state = 1 AND lease_until <= {now})"
	default:
		return "1 = 0"
	}
}

// readEntries reads the entries of keys, without their records.
func (s *Store) readEntries(
	ctx context.Context, keys []idempotency.StoreKey,
) (entries map[idempotency.StoreKey]idempotency.Entry, err error) {
	q := &query{tables: &s.tables}
	q.add("SELECT " + entryColumns + " FROM {record} WHERE store_key IN (")
	for i := range keys {
		if i > 0 {
			q.add(",")
		}
		q.add("?", keys[i][:])
	}
	q.add(")")
	rows, err := s.db.QueryContext(ctx, q.text(), q.args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	entries = make(map[idempotency.StoreKey]idempotency.Entry, len(keys))
	for rows.Next() {
		e, err := scanEntry(rows, nil)
		if err != nil {
			return nil, err
		}
		entries[e.Key] = e
	}
	return entries, rows.Err()
}

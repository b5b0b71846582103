package sqlstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// probe does all that the store does to rows, with a key that nobody has, and
// rolls back. A database that is busy is one that can be written to.
func (s *Store) probe(ctx context.Context) error {
	c := newClaim(idempotency.Claim{Timeout: time.Minute})
	if _, err := rand.Read(c.Key[:]); err != nil {
		return err
	}
	ss, err := s.openSession(ctx, beginning{lock: s.lockName(c.Key), timeout: c.Timeout})
	if classify(err) == contended {
		return nil
	}
	if err != nil {
		return s.writable(err)
	}
	defer ss.rollback(ctx)
	t := s.tableIn(ss)
	if _, err := t.add(ctx, c, running, 0, 0); err != nil {
		return s.writable(err)
	}
	if _, err := scanRow(t.row(ctx, &t.hold, c.key)); err != nil {
		return s.writable(err)
	}
	if _, err := t.finish(ctx, c, nil); err != nil {
		return s.writable(err)
	}
	_, err = t.exec(ctx, &t.sweep, c.key)
	return s.writable(err)
}

// writable says what keeps the store from writing.
func (s *Store) writable(err error) error {
	if err == nil || classify(err) == contended {
		return nil
	}
	if reason := readOnlyReason(err); reason != "" {
		return fmt.Errorf("sqlstore: %s: %w", reason, err)
	}
	return fmt.Errorf("sqlstore: write to the table %s: %w", s.shown("record"), err)
}

// readOnlyReason says what is read-only, or who may not write, and what to do about
// it; empty if it is neither.
func readOnlyReason(err error) string {
	c, _ := codeOf(err)
	switch {
	case c.mysql == 1290, c.mysql == 1836:
		return "the server is read-only (read_only); connect to the primary"
	case c.mysql == 1792:
		return "sessions are read-only (transaction_read_only, or tx_read_only); take it out of the data source name " +
			"or the server's settings"
	case c.mysql == 1142, c.mysql == 1143, c.sqlState == "42501":
		return "the user may not write; grant SELECT, INSERT, UPDATE and DELETE on the store's tables"
	case c.sqlState == "25006":
		return "sessions are read-only (default_transaction_read_only of the server, the database, the user or the " +
			"connection); take it away, or connect to the primary"
	case c.sqlite&0xff == 8:
		return "the file is read-only; open it without mode=ro, immutable=1 and query_only, " +
			"as a user who may write to it and its folder"
	}
	return ""
}

// explained adds the reason to an error of a migration.
func explained(err error) error {
	if reason := readOnlyReason(err); reason != "" {
		return fmt.Errorf("%s: %w", reason, err)
	}
	return err
}

// Package sqlstore keeps idempotency records in a SQL database, through
// database/sql: in MySQL or MariaDB (with the driver go-sql-driver/mysql),
// PostgreSQL (pgx or lib/pq), or SQLite (modernc.org/sqlite or
// mattn/go-sqlite3). The errors of other drivers would not be understood.
//
// The danger first. The store is transactional: a handler's writes and the
// record of its answer commit together, or not at all, but only those writes
// that the handler does through [Tx]. What it writes on a connection of its
// own, or anywhere else, is not rolled back with the rest, and happens again
// when the call is executed again. A handler that succeeds without having used
// its transaction is therefore an error ([ErrTxUnused]), unless it says that it
// writes nothing ([NoWrites]):
//
//	func (w *Wallet) Tip(ctx context.Context, req *TipRequest, rsp *TipReply) error {
//		tx, ok := sqlstore.Tx(ctx)
//		if !ok {
//			return errors.New("no transaction: the call has no key")
//		}
//		_, err := tx.ExecContext(ctx, "INSERT INTO ledger …")
//		return err
//	}
//
// Guarantees, per key and within the retention, while the database is durable:
// of any number of duplicates, on any number of instances, one execution
// commits. An instance that dies before the commit leaves nothing, and the
// database frees the key; after it, the record is there. A host that vanishes
// without closing its connections holds the key until the database hangs up on
// it, about [idempotency.Claim].Timeout after its last statement. A commit
// whose reply was lost is found out by asking again, which waits until it is
// decided. Time is the database's, never the host's.
//
// Each execution holds one connection from beginning to end, and so does a
// duplicate that waits for another process, up to [WithMaxWaiters]. The pool
// must have room for both.
//
// Limits, by database:
//
//   - MySQL and MariaDB: DDL in a handler (CREATE, ALTER, …), or LOCK TABLES,
//     commits what was written so far, without the record; a crash then leaves
//     an orphan. A handler that ignores a deadlock (error 1213) has lost all it
//     wrote; the store notices, and answers that nothing has happened. Locks (GET_LOCK)
//     belong to one server, so with several primaries all instances must write
//     to the same one. Behind a proxy that shares connections between
//     transactions the store does not work. A readTimeout of the driver must
//     be 2 s at least, and longer than any statement of a handler.
//   - PostgreSQL: a proxy such as PgBouncer must be in session or transaction
//     mode, not in statement mode. With lib/pq, which waits for the server even
//     when a context has ended, a server that hangs holds calls for as long as
//     the network lets it; pgx hangs up.
//   - SQLite: one execution at a time. There is one write lock for all keys,
//     from the beginning of an execution to its end, and every other write to
//     the file waits meanwhile; one that may not wait is told that its key is
//     running. It needs a file in WAL mode, with a busy timeout; with
//     PRAGMA synchronous=NORMAL a power failure can lose the newest records.
//
// With [WithDetached] claims and records are transactions of their own, and the
// handler's work is elsewhere: a claim has a lease, the owner's death leaves an
// orphan, and the guarantees are those of a store in Redis. An idempotency.Guard
// has policies for orphans.
//
// The tables, oncemore_record and oncemore_meta, may be shared by any number of
// services: a key says what service it belongs to.
package sqlstore

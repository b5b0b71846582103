// Package sqlstore keeps idempotency records in a SQL database, through
// database/sql: in MySQL or MariaDB (with the driver go-sql-driver/mysql),
// PostgreSQL (pgx or lib/pq), or SQLite (modernc.org/sqlite or
// mattn/go-sqlite3). The errors of other drivers would not be understood.
//
// The store is transactional: a handler's writes and the
// record of its answer commit together, or not at all, but only those writes
// that the handler does through [Tx], or [DB]. What it writes on a connection of
// its own, or anywhere else, is not rolled back with the rest, and happens again
// when the call is executed again. Where an endpoint was declared to be keyed, a
// handler that succeeds without having used its transaction is therefore an error
// ([ErrTxUnused]), unless it says that it writes nothing ([NoWrites]); elsewhere
// it is a warning:
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
// gorm, ent, bun, sqlx and code that wants a *sql.DB or a *sql.Tx take [DB], whose
// transactions are savepoints; what sqlc generates takes [Tx]. Code that is bound
// to one driver, such as pgx's own interface, cannot share the transaction. The
// folder examples/orm has a handler of each kind. [NewContext] lets a test give a
// handler its transaction.
//
// A transaction that was rolled back because it lost against another one, or with
// its connection, is answered with an error that the caller may repeat
// ([idempotency.ErrRepeatable]). One that would fail for ever, for a constraint
// that is checked at the commit, a table that is gone or a right that was lost, is
// the handler's failure.
//
// Each execution holds one connection from beginning to end, and so does a
// duplicate that waits for another process, up to [WithMaxWaiters]. Of a pool with a
// limit (sql.DB.SetMaxOpenConns, which comes before [New]) one connection is left
// to everybody else, so that handlers which also read through the *sql.DB do not
// wait for each other for ever; a pool of 4 executes 3 calls at a time. A handler
// that holds more than one connection beside its transaction needs more left: give
// the pool more connections than there are executions times what each holds.
//
// What a handler sets for its session, such as a role, a search path, a time-out
// or, on MySQL, another database, ends before the store writes the record, and
// before the connection goes back to the pool. That costs round trips, and only
// where a statement is another than those that read a table or write to one. A
// trigger that changes the session goes unnoticed.
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
// services: a key says what service it belongs to. [WithSchema] and
// [WithTablePrefix] say where they are. Each row shows, beside the hash of its key,
// the service, endpoint, caller, key, instance and when it was claimed and ended,
// so that SELECT finds what an operator looks for; [Store.Lookup], [Store.List] and
// [Store.Resolve] do that in a program. A scope with a part that is longer than
// 1000 bytes, or no text, is kept as its hash only. Programs of the version before
// work on tables that were upgraded, and may be started: upgrade one instance after
// the other.
package sqlstore

// Package orm shows how handlers write through object-relational mappers, and
// through whatever else wants a *sql.DB or a *sql.Tx, so that what they write
// commits together with the record of their answer, or not at all.
//
// Each gets sqlstore.DB: a pool of the one transaction, whose own transactions are
// savepoints. It is there for one execution, so that what is made of it is made
// anew each time, which costs no connection; what is expensive to make, such as
// gorm's cache of schemas, is shared.
package orm

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"reflect"
)

// failure is what an error of a database means for a claim.
type failure uint8

const (
	// failed: nothing below; the statement changed nothing if the server said so.
	failed failure = iota
	// conflict: the transaction lost against another one; begin again.
	conflict
	// contended: somebody else holds what was waited for.
	contended
	// broken: the connection is of no use any more.
	broken
)

// errContended is what a dialect returns that had to wait for longer than it
// might, where the database has no error for that.
var errContended = errors.New("sqlstore: somebody else holds the key")

// code is the number or text by which a database names an error. The drivers
// are not imported; each is known by the shape of its errors.
type code struct {
	mysql    uint16
	sqlState string
	sqlite   int
}

// codeOf returns what the server called the error; ok is false if the error
// does not come from a server.
func codeOf(err error) (c code, ok bool) {
	for _, e := range chain(err, nil) {
		switch coded := e.(type) { //nolint:errorlint // the chain is walked here
		case interface{ SQLState() string }: // pgx, lib/pq
			return code{sqlState: coded.SQLState()}, true
		case interface{ Code() int }: // modernc.org/sqlite
			return code{sqlite: coded.Code()}, true
		}
		if number, found := mysqlNumber(e); found {
			return code{mysql: number}, true
		}
		if number, found := sqliteNumber(e); found {
			return code{sqlite: number}, true
		}
	}
	return code{}, false
}

// chain lists err and all that it wraps.
func chain(err error, list []error) []error {
	if err == nil {
		return list
	}
	list = append(list, err)
	switch e := err.(type) { //nolint:errorlint // this is what errors.As does
	case interface{ Unwrap() error }:
		return chain(e.Unwrap(), list)
	case interface{ Unwrap() []error }:
		for _, child := range e.Unwrap() {
			list = chain(child, list)
		}
	}
	return list
}

// mysqlNumber reads the field Number of go-sql-driver's MySQLError, which has no
// method for it.
func mysqlNumber(err error) (number uint16, ok bool) {
	field := fieldOf(err, "MySQLError", "Number")
	if field.Kind() != reflect.Uint16 {
		return 0, false
	}
	return uint16(field.Uint()), true //nolint:gosec // it is one
}

// sqliteNumber reads the field ExtendedCode of mattn/go-sqlite3's Error, which
// has no method for it either.
func sqliteNumber(err error) (number int, ok bool) {
	field := fieldOf(err, "Error", "ExtendedCode")
	if field.Kind() != reflect.Int {
		return 0, false
	}
	return int(field.Int()), true
}

// fieldOf returns a field of an error that is a struct, or points to one, of a
// type of that name; else a value of no kind.
func fieldOf(err error, typeName, field string) reflect.Value {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || v.Type().Name() != typeName {
		return reflect.Value{}
	}
	return v.FieldByName(field)
}

// classify says what an error means for a claim.
func classify(err error) failure {
	switch {
	case err == nil:
		return failed
	case errors.Is(err, errContended):
		return contended
	case errors.Is(err, driver.ErrBadConn):
		return broken
	}
	c, ok := codeOf(err)
	switch {
	case !ok && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, sql.ErrTxDone) || isOwn(err)):
		return failed
	case !ok: // a network error, or a driver's own word for a connection that is gone
		return broken
	case c.mysql != 0:
		return classifyMySQL(c.mysql)
	case c.sqlState != "":
		return classifyPostgres(c.sqlState)
	}
	return classifySQLite(c.sqlite)
}

// isOwn reports whether an error is the store's and not a driver's.
func isOwn(err error) bool {
	for _, own := range []error{errHot, errDamaged, errRolledBack, errTooLong, errConnections, ErrTxMixed, ErrTxEnded} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

func classifyMySQL(number uint16) failure {
	switch number {
	case 1213: // deadlock
		return conflict
	case 1205, // lock wait timeout
		1969, 3024: // statement timeout of MariaDB, of MySQL
		return contended
	case 1053, 1077, 1079, 1927, 4031: // shutdown, killed, idle for too long
		return broken
	}
	return failed
}

func classifyPostgres(state string) failure {
	switch state {
	case "40001", "40P01": // serialization failure, deadlock
		return conflict
	case "55P03": // lock not available
		return contended
	case "57P01", "57P02", "57P03", "57P05", "25P03": // shutdown, starting, idle for too long
		return broken
	}
	if len(state) == 5 && state[:2] == "08" {
		return broken
	}
	return failed
}

func classifySQLite(code int) failure {
	const busySnapshot = 5 | 2<<8
	switch {
	case code == busySnapshot:
		return conflict
	case code&0xff == 5: // SQLITE_BUSY
		return contended
	}
	return failed
}

// mendable reports whether what has failed may well succeed when it is done again:
// it lost against another transaction, or with its connection, or the server was
// too slow for the context.
func mendable(err error) bool {
	return classify(err) != failed || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// unsent reports whether an error proves that a statement never reached the
// server, or that the server refused it and so changed nothing.
func unsent(err error) bool {
	var safe interface{ SafeToRetry() bool } // pgx
	var network *net.OpError
	switch {
	case errors.Is(err, driver.ErrBadConn):
		return true
	case errors.As(err, &safe) && safe.SafeToRetry():
		return true
	case errors.As(err, &network) && network.Op == "dial":
		return true
	}
	_, said := codeOf(err)
	return said && classify(err) != broken
}

// notCommitted reports whether a failed COMMIT is known to have rolled back. A
// server that is stopping may have committed and say otherwise.
func notCommitted(err error) bool {
	c, ok := codeOf(err)
	switch {
	case !ok:
		return false
	case c.mysql != 0:
		return c.mysql == 1213 // a certification failure of Galera
	case len(c.sqlState) == 5:
		switch c.sqlState[:2] {
		case "22", "23", "25", "42", "55", "P0": // a deferred constraint or trigger
			return true
		case "40":
			return c.sqlState != "40003" // statement completion unknown
		}
		return false
	}
	switch c.sqlite & 0xff {
	case 5, 13, 19: // busy, full, a deferred constraint
		return true
	}
	return false
}

package sqlstore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
)

// The errors have the shape that those of the drivers have, which this module
// does not require: MySQLError is that of github.com/go-sql-driver/mysql, PgError
// that of github.com/jackc/pgx/v5/pgconn; ErrNo, ErrNoExtended and Error are those
// of github.com/mattn/go-sqlite3, which needs C. The tests on databases see the
// real ones.
type (
	MySQLError struct {
		Number   uint16
		SQLState [5]byte
		Message  string
	}
	PgError       struct{ Code string }
	ErrNo         int
	ErrNoExtended int
	Error         struct {
		Code         ErrNo
		ExtendedCode ErrNoExtended
		err          string
	}
)

func (e *MySQLError) Error() string { return e.Message }

func (e *PgError) Error() string    { return e.Code }
func (e *PgError) SQLState() string { return e.Code }

func (e Error) Error() string { return e.err }

// TestClassify: what a driver's error means for a claim, however deep it lies.
func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want failure
	}{
		{"MySQL: deadlock", &MySQLError{Number: 1213}, conflict},
		{"MySQL: lock wait timeout", &MySQLError{Number: 1205}, contended},
		{"MySQL: shutdown", &MySQLError{Number: 1053}, broken},
		{"MySQL: no such table", &MySQLError{Number: 1146}, failed},
		{"PostgreSQL: serialization", &PgError{Code: "40001"}, conflict},
		{"PostgreSQL: lock timeout", &PgError{Code: "55P03"}, contended},
		{"PostgreSQL: connection", &PgError{Code: "08006"}, broken},
		{"PostgreSQL: no such table", &PgError{Code: "42P01"}, failed},
		{"SQLite in C: busy", Error{Code: 5, ExtendedCode: 5}, contended},
		{"SQLite in C: busy snapshot", Error{Code: 5, ExtendedCode: 517}, conflict},
		{"SQLite in C: no such function", Error{Code: 1, ExtendedCode: 1}, failed},
		{"SQLite in C, by pointer", &Error{Code: 5, ExtendedCode: 5}, contended},
		{"bad connection", driver.ErrBadConn, broken},
		{"of nobody's", errors.New("EOF"), broken},
		{"nil pointer", (*MySQLError)(nil), broken},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err), errors.Join(errors.New("beside"), c.err)} {
			if got := classify(err); got != c.want {
				t.Errorf("%s: %d, want %d", c.name, got, c.want)
			}
		}
	}
}

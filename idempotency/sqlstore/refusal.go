package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// refusedRow returns a row whose Scan returns err. Only database/sql can make
// one, out of an error of a driver.
func refusedRow(err error) *sql.Row {
	db := sql.OpenDB(refusal{err})
	row := db.QueryRowContext(context.Background(), "")
	_ = db.Close() // it has no connection
	return row
}

// refusal is a driver that does nothing else.
type refusal struct{ err error }

func (r refusal) Connect(context.Context) (driver.Conn, error) { return nil, r.err }
func (r refusal) Driver() driver.Driver                        { return r }
func (r refusal) Open(string) (driver.Conn, error)             { return nil, r.err }

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
)

// rows are those of a query through the pool that [DB] hands out. They are sent
// as they are read, until another statement needs the connection: then the rest
// is read into memory. All is done in turns of the transaction.
type rows struct {
	t       *transaction
	from    *sql.Rows
	release func()
	current rowSet
	next    []rowSet // that were read ahead
	sent    bool     // all that there is, or closed
	ended   error    // why the sending ended, io.EOF for regularly
}

// rowSet is one result of a query.
type rowSet struct {
	columns []string
	types   []*sql.ColumnType
	ahead   [][]driver.Value // rows that were read ahead
}

// stream begins a query.
func (t *transaction) stream(
	ctx context.Context, by *handedConn, query string, send func(context.Context) (*sql.Rows, error),
) (driver.Rows, error) {
	defer t.turn.Unlock()
	if err := t.enterBy(ctx, by, query); err != nil {
		return nil, err
	}
	ctx, release := t.bound(ctx)
	from, err := send(ctx) //nolint:rowserrcheck // with r
	if err != nil {
		release()
		return nil, t.notice(err)
	}
	r := &rows{t: t, from: from, release: release}
	if err := r.describe(&r.current); err != nil {
		_ = r.drop() // the first error says more
		return nil, t.notice(err)
	}
	t.streaming = r
	return r, nil
}

func (r *rows) describe(set *rowSet) (err error) {
	if set.columns, err = r.from.Columns(); err != nil {
		return err
	}
	set.types, err = r.from.ColumnTypes()
	return err
}

// drop ends the sending.
func (r *rows) drop() error {
	if r.sent {
		return nil
	}
	r.sent = true
	if r.ended == nil {
		r.ended = sql.ErrTxDone
	}
	if r.t.streaming == r {
		r.t.streaming = nil
	}
	err := r.from.Close()
	r.release()
	return err
}

// readAll reads ahead all that is still to be sent. Whoever reads the rows finds
// out how that ended.
func (r *rows) readAll() {
	for !r.sent {
		set := &r.current
		if len(r.next) > 0 {
			set = &r.next[len(r.next)-1]
		}
		row, err := r.receive(len(set.columns))
		switch {
		case err == nil:
			set.ahead = append(set.ahead, row)
		case !errors.Is(err, io.EOF) || !r.advance():
			r.ended = err
			_ = r.drop()
		}
	}
}

// receive returns the next row of the result that is being sent, io.EOF at its
// end.
func (r *rows) receive(columns int) ([]driver.Value, error) {
	if !r.from.Next() {
		if err := r.from.Err(); err != nil {
			return nil, r.t.notice(err)
		}
		return nil, io.EOF
	}
	row := make([]driver.Value, columns)
	into := make([]any, columns)
	for i := range row {
		into[i] = &row[i]
	}
	return row, r.from.Scan(into...)
}

// Columns is of [driver.Rows].
func (r *rows) Columns() []string {
	r.t.turn.Lock()
	defer r.t.turn.Unlock()
	return r.current.columns
}

// Close is of [driver.Rows].
func (r *rows) Close() error {
	r.t.turn.Lock()
	defer r.t.turn.Unlock()
	return r.drop()
}

// Next is of [driver.Rows].
func (r *rows) Next(into []driver.Value) error {
	r.t.turn.Lock()
	defer r.t.turn.Unlock()
	row, err := r.nextRow()
	copy(into, row)
	return err
}

func (r *rows) nextRow() ([]driver.Value, error) {
	switch {
	case len(r.current.ahead) > 0:
		row := r.current.ahead[0]
		r.current.ahead = r.current.ahead[1:]
		return row, nil
	case len(r.next) > 0:
		return nil, io.EOF
	case r.sent:
		return nil, r.ended
	}
	return r.receive(len(r.current.columns))
}

// HasNextResultSet is of [driver.RowsNextResultSet]. It is asked at the end of a
// result.
func (r *rows) HasNextResultSet() bool {
	r.t.turn.Lock()
	defer r.t.turn.Unlock()
	return len(r.next) > 0 || r.advance()
}

// NextResultSet is of [driver.RowsNextResultSet].
func (r *rows) NextResultSet() error {
	r.t.turn.Lock()
	defer r.t.turn.Unlock()
	if len(r.next) == 0 && !r.advance() {
		return io.EOF
	}
	r.current, r.next = r.next[0], r.next[1:]
	return nil
}

// advance goes on to the next result that is being sent.
func (r *rows) advance() bool {
	if r.sent || !r.from.NextResultSet() {
		return false
	}
	var set rowSet
	if r.describe(&set) != nil { // it is being closed
		return false
	}
	r.next = append(r.next, set)
	return true
}

func (r *rows) column(i int) *sql.ColumnType {
	r.t.turn.Lock()
	defer r.t.turn.Unlock()
	return r.current.types[i]
}

// ColumnTypeScanType is of [driver.RowsColumnTypeScanType].
func (r *rows) ColumnTypeScanType(i int) reflect.Type { return r.column(i).ScanType() }

// ColumnTypeDatabaseTypeName is of [driver.RowsColumnTypeDatabaseTypeName].
func (r *rows) ColumnTypeDatabaseTypeName(i int) string { return r.column(i).DatabaseTypeName() }

// ColumnTypeLength is of [driver.RowsColumnTypeLength].
func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) { return r.column(i).Length() }

// ColumnTypeNullable is of [driver.RowsColumnTypeNullable].
func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) { return r.column(i).Nullable() }

// ColumnTypePrecisionScale is of [driver.RowsColumnTypePrecisionScale].
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	return r.column(i).DecimalSize()
}

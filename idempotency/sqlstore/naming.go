package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"
)

// defaultPrefix is what the names of a store's tables begin with.
const defaultPrefix = "oncemore_"

// naming is what the store's tables are called. In SQL they are qualified by their schema: whatever a
// handler sets in its session (search_path, USE), the names mean the same tables.
type naming struct {
	database string // that has the schema
	schema   string
	prefix   string
	// expand puts names in the place of {record}, {meta}, {index}, and {unqualified} for a record's table.
	expand *strings.Replacer
}

// findNaming finds out where the tables are, or where they will be created.
func (o *Options) findNaming(ctx context.Context, db *sql.DB, d dialect) (naming, error) {
	n := naming{schema: o.schema, prefix: o.tablePrefix}
	if _, file := d.(sqlite); file && o.schemaSet {
		return n, errNoSchema
	}
	if n.schema == "" {
		var err error
		if n.schema, err = d.schema(ctx, db, n.prefix+"meta"); err != nil {
			return n, err
		}
	}
	var err error
	if n.database, err = d.database(ctx, db); err != nil {
		return n, fmt.Errorf("sqlstore: reach the database: %w", err)
	}
	schema, record := d.quote(n.schema)+".", d.quote(n.prefix+"record")
	n.expand = strings.NewReplacer(
		"{record}", schema+record, "{meta}", schema+d.quote(n.prefix+"meta"),
		"{index}", d.quote(n.prefix+"record_sweep"), "{unqualified}", record,
	)
	return n, nil
}

// shown is the name of a table for people to read.
func (n naming) shown(name string) string { return n.schema + "." + n.prefix + name }

// place is the identity of the tables with the given id: a copy of a database has the id of what it was
// copied from, and is another place.
func (n naming) place(id string) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s %q %q %q", id, n.database, n.schema, n.prefix))
}

// quoteWith quotes an identifier.
func quoteWith(quote, name string) string {
	return quote + strings.ReplaceAll(name, quote, quote+quote) + quote
}

// isSchema reports whether a text can name a schema.
func isSchema(text string) bool {
	const most = 64
	return text != "" && len(text) <= most && utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

// isPrefix reports whether a text can begin the names of tables on every database.
func isPrefix(text string) bool {
	const most = 40 // what follows must fit into PostgreSQL's 63
	for i, r := range text {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return text != "" && len(text) <= most
}

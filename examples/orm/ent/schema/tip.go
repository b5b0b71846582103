// Package schema describes what ent generates code for.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
)

// Tip is a row of the ledger.
type Tip struct{ ent.Schema }

// Fields are the columns of a tip.
func (Tip) Fields() []ent.Field {
	return []ent.Field{
		field.String("student"),
		field.Int64("cents"),
	}
}

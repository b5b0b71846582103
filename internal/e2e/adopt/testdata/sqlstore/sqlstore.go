package main

import (
	"context"
	"database/sql"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

func inDatabase(ctx context.Context, db *sql.DB) (oncemore.Option, error) {
	store, err := sqlstore.New(ctx, db, sqlstore.WithMigrate())
	if err != nil {
		return nil, err
	}
	return oncemore.WithStore(store), nil
}

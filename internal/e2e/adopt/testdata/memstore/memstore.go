package main

import (
	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

func inMemory() (oncemore.Option, error) {
	store, err := memstore.New()
	if err != nil {
		return nil, err
	}
	return oncemore.WithStore(store), nil
}

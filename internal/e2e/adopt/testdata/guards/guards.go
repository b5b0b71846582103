package main

import (
	"errors"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/grpcguard"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
)

func guarded(service string, guard *idempotency.Guard) (*grpcguard.Server, *httpguard.Middleware, error) {
	overGRPC, errGRPC := grpcguard.NewServer(service, guard)
	overHTTP, errHTTP := httpguard.New(service, guard)
	return overGRPC, overHTTP, errors.Join(errGRPC, errHTTP)
}

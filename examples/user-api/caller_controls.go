package main

import (
	"context"
	"sync/atomic"

	"github.com/go-micro/plugins/v4/wrapper/breaker/hystrix"
	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// newStockCaller calls through go-micro's client as it comes.
func newStockCaller(service micro.Service) (*caller, error) {
	return newControl(service)
}

// newHystrixCaller calls as many services do: the community's hystrix wrapper
// as it comes, around three retries of whatever failed.
func newHystrixCaller(service micro.Service) (*caller, error) {
	caller, err := newControl(service, client.Retry(retryfunc.Always), client.Retries(3))
	if err != nil {
		return nil, err
	}
	caller.client = hystrix.NewClientWrapper()(caller.client)
	return caller, nil
}

func newControl(service micro.Service, opts ...client.Option) (*caller, error) {
	c := service.Client()
	if err := c.Init(append(opts, client.WrapCall(countAttempts))...); err != nil {
		return nil, err
	}
	return &caller{
		client:   c,
		carryKey: carryInMetadata,
		watch: func(ctx context.Context) (context.Context, func() effort) {
			n := new(atomic.Int64)
			return context.WithValue(ctx, attemptsKey{}, n), func() effort { return effort{attempts: int(n.Load())} }
		},
	}, nil
}

// carryInMetadata sends the key as oncemore's wrapper would, so that the
// ledger of a control shows what was executed for which key.
func carryInMetadata(ctx context.Context, key string) context.Context {
	return metadata.Set(ctx, idempotency.HeaderKey, key)
}

type attemptsKey struct{}

func countAttempts(next client.CallFunc) client.CallFunc {
	return func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
		if n, ok := ctx.Value(attemptsKey{}).(*atomic.Int64); ok {
			n.Add(1)
		}
		return next(ctx, node, req, rsp, opts)
	}
}

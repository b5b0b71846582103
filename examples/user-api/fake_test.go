package main

import (
	"context"
	"log/slog"
	"sync"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
)

// fakeHello is a hello-srv that answers without a network.
type fakeHello struct {
	err    error
	effort effort

	mu   sync.Mutex
	keys []string
	tips []*hello.TipRequest
}

type keyKey struct{}

// api returns an api whose calls arrive at f.
func (f *fakeHello) api() *api {
	return &api{say: f, wallet: f, tokens: newTokens(""), log: slog.New(slog.DiscardHandler), caller: &caller{
		carryKey: func(ctx context.Context, key string) context.Context { return context.WithValue(ctx, keyKey{}, key) },
		watch: func(ctx context.Context) (context.Context, func() effort) {
			return ctx, func() effort { return f.effort }
		},
	}}
}

func (f *fakeHello) Hello(ctx context.Context, in *hello.HelloRequest, _ ...client.CallOption) (*hello.HelloReply, error) {
	if _, limited := ctx.Deadline(); !limited || f.err != nil {
		return nil, f.err
	}
	return &hello.HelloReply{Message: "Hello " + in.GetName(), Instance: "one"}, nil
}

func (f *fakeHello) Count(context.Context, *hello.CountRequest, ...client.CallOption) (hello.Say_CountService, error) {
	return nil, f.err
}

func (f *fakeHello) Tip(ctx context.Context, in *hello.TipRequest, _ ...client.CallOption) (*hello.TipReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key, _ := ctx.Value(keyKey{}).(string)
	f.keys, f.tips = append(f.keys, key), append(f.tips, in)
	if f.err != nil {
		return nil, f.err
	}
	return &hello.TipReply{TransferId: "t-1", BalanceCents: in.GetAmountCents()}, nil
}

func (f *fakeHello) Balance(_ context.Context, in *hello.BalanceRequest, _ ...client.CallOption) (*hello.BalanceReply, error) {
	if f.err != nil {
		return nil, f.err
	}
	return &hello.BalanceReply{Student: in.GetStudent(), BalanceCents: 500}, nil
}

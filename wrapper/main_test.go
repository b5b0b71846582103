package wrapper_test

import (
	"context"
	"testing"
	"time"

	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/leak"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func TestMain(m *testing.M) {
	fixture.Main(m,
		fixture.WithSetup("memory", inMemory()),
		fixture.WithSetup("impatient", inMemory(idempotency.WithMaxWait(0))),
		fixture.WithSetup("panicking", panicking),
		fixture.WithSetup("parrots", parrots),
		fixture.WithSetup("hop", hop),
		fixture.WithSetup("middle", middle),
		fixture.WithSetup("slots", slots),
		fixture.WithSetup("tls", secured),
		fixture.WithSetup("gateway", gateway),
		fixture.WithSetup("crier", crier),
		fixture.WithSetup("sluggish", sluggish),
		fixture.WithSetup("dawdling", dawdling),
		fixture.WithSetup("patient", inMemory(idempotency.WithMaxWait(500*time.Millisecond))),
		fixture.WithLeakOptions(leak.GoMicro()...),
		fixture.WithLeakOptions(leak.Hystrix()...))
}

// panicking is a server that panics when it asks who calls.
func panicking(i fixture.Instance) ([]server.Option, error) {
	store, err := memstore.New()
	if err != nil {
		return nil, err
	}
	guard, err := idempotency.New(store)
	if err != nil {
		return nil, err
	}
	wrap, err := wrapper.NewHandlerWrapper(i.Service, guard, wrapper.WithCaller(func(context.Context, string) (string, error) {
		panic("nobody")
	}))
	if err != nil {
		return nil, err
	}
	return []server.Option{server.WrapHandler(wrap)}, nil
}

// sluggish is a server whose handlers take their time.
func sluggish(fixture.Instance) ([]server.Option, error) {
	return []server.Option{server.WrapHandler(func(next server.HandlerFunc) server.HandlerFunc {
		return func(ctx context.Context, req server.Request, rsp any) error {
			time.Sleep(slowTime)
			return next(ctx, req, rsp)
		}
	})}, nil
}

// inMemory wraps a server's handlers with a memory of its own. Echo ignores
// keys, and BadRequest requires one.
func inMemory(settings ...idempotency.Option) fixture.Setup {
	return func(i fixture.Instance) ([]server.Option, error) {
		store, err := memstore.New()
		if err != nil {
			return nil, err
		}
		guard, err := idempotency.New(store, settings...)
		if err != nil {
			return nil, err
		}
		wrap, err := wrapper.NewHandlerWrapper(i.Service, guard,
			wrapper.WithKeyMode(wrapper.KeyOff, fixture.Echo),
			wrapper.WithKeyMode(wrapper.KeyRequired, fixture.BadRequest))
		if err != nil {
			return nil, err
		}
		return []server.Option{server.WrapHandler(wrap)}, nil
	}
}

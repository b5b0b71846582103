package telemetry_test

import (
	"go-micro.dev/v4"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/telemetry"
)

func ExampleNew() {
	store, err := memstore.New()
	if err != nil {
		return
	}
	service := micro.NewService(micro.Name("bank"))
	if err := install(service, store); err != nil {
		return
	}
}

func install(service micro.Service, store idempotency.Store) error {
	t, err := telemetry.New() // the global providers and propagator, as otel.Set… left them
	if err != nil {
		return err
	}
	plugin, err := oncemore.New(
		oncemore.WithObserver(t),
		oncemore.WithStore(store, idempotency.WithOrigin(t.Origin)),
	)
	if err != nil {
		return err
	}
	service.Init(plugin.Options()...)
	return nil
}

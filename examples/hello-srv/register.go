package main

import (
	"time"

	"github.com/google/uuid"
	"go-micro.dev/v4"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// register gives the service its two handlers. deduplicated says that a tip runs
// once for each key, which is then announced.
func register(service micro.Service, book *ledger.Ledger, injected faults, deduplicated bool) error {
	instance := service.Server().Options().Id
	if err := hello.RegisterSayHandler(service.Server(), &say{instance: instance, faults: injected}); err != nil {
		return err
	}
	var announced []server.HandlerOption
	if deduplicated {
		announced = append(announced, wrapper.EndpointSafety(tipEndpoint, retryfunc.SafetyKeyed))
	}
	return hello.RegisterWalletHandler(service.Server(), &wallet{
		instance: instance,
		ledger:   book,
		faults:   injected,
		newID:    uuid.NewString,
		now:      time.Now,
	}, announced...)
}

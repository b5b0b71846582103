package main

import (
	"time"

	"github.com/google/uuid"
	"go-micro.dev/v4"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
)

// register gives the service its two handlers.
func register(service micro.Service, book *ledger.Ledger, injected faults) error {
	service.Init(micro.WrapHandler(injected.afterHandler))
	instance := service.Server().Options().Id
	if err := hello.RegisterSayHandler(service.Server(), &say{instance: instance, faults: injected}); err != nil {
		return err
	}
	return hello.RegisterWalletHandler(service.Server(), &wallet{
		instance: instance,
		ledger:   book,
		faults:   injected,
		newID:    uuid.NewString,
		now:      time.Now,
	})
}

package main

import (
	"go-micro.dev/v4"

	"github.com/oncemore-dev/oncemore"
)

func adopt(service micro.Service, options ...oncemore.Option) error {
	plugin, err := oncemore.New(options...)
	if err != nil {
		return err
	}
	service.Init(plugin.Options()...)
	return nil
}

package main

import (
	"github.com/go-micro/plugins/v4/registry/consul"
	"go-micro.dev/v4"
)

func inConsul() micro.Option { return micro.Registry(consul.NewRegistry()) }

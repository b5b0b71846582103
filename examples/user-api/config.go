package main

import (
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

// The ways to call hello-srv.
const (
	clientOncemore = "oncemore"
	clientStock    = "stock"
	clientHystrix  = "hystrix"
)

const defaultAddress = "127.0.0.1:8080"

// config is what the environment says; the flags are go-micro's.
type config struct {
	address string
	nodes   []string // of hello-srv; empty: ask the registry
	client  string
}

func configFrom(getenv func(string) string) (config, error) {
	c := config{address: defaultAddress, client: clientOncemore}
	var err error
	if value := getenv("USER_API_ADDRESS"); value != "" {
		if c.address, err = setting.Address("USER_API_ADDRESS", value); err != nil {
			return config{}, err
		}
	}
	if c.nodes, err = setting.Addresses("HELLO_NODES", getenv("HELLO_NODES")); err != nil {
		return config{}, err
	}
	if value := getenv("CLIENT"); value != "" {
		c.client = value
	}
	return c, setting.OneOf("CLIENT", c.client, clientOncemore, clientStock, clientHystrix)
}

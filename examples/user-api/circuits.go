package main

import (
	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/hystrix"
)

// circuits are those of the instances of hello-srv, one each, and what shows them to
// Hystrix' dashboard, on /hystrix.stream.
type circuits struct {
	set    *breaker.Set
	mirror *hystrix.Mirror
	stream *hystrix.Stream
}

func newCircuits() (*circuits, error) {
	mirror, err := hystrix.NewMirror(hystrix.WithNamePrefix(helloService), hystrix.WithDashboard(true))
	if err != nil {
		return nil, err
	}
	set, err := breaker.New(mirror.Option())
	if err != nil {
		mirror.Close()
		return nil, err
	}
	return &circuits{set: set, mirror: mirror, stream: hystrix.NewStream()}, nil
}

func (c *circuits) close() {
	c.stream.Close()
	c.set.Close()
	c.mirror.Close()
}

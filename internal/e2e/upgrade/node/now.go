//go:build !before

package main

import (
	"context"

	"go-micro.dev/v4"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// safe declares an endpoint that does nothing that could be repeated.
func safe(endpoint string) server.HandlerOption {
	return wrapper.EndpointSafety(endpoint, retryfunc.SafetySafe)
}

// subscribe adds a subscriber that has opted in.
func subscribe(p *oncemore.Plugin, s server.Server, handle func(context.Context, *wrapperspb.StringValue) error) error {
	return micro.RegisterSubscriber(topic, s, oncemore.Subscriber(p, "audit", handle))
}

//go:build before

package main

import (
	"context"

	"go-micro.dev/v4"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// safe declares an endpoint that does nothing that could be repeated.
func safe(endpoint string) server.HandlerOption { return wrapper.EndpointSafety(endpoint, "safe") }

// subscribe adds a subscriber, which the plugin deduplicated by itself.
func subscribe(_ *oncemore.Plugin, s server.Server, handle func(context.Context, *wrapperspb.StringValue) error) error {
	return micro.RegisterSubscriber(topic, s, handle)
}

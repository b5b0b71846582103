package main

import (
	"context"
	"time"

	"go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
)

const (
	longestName  = 100
	highestLimit = 1000
	// shortestInterval keeps two replies apart: go-micro's own transport
	// overwrites a streamed reply that is not yet on its way when the next comes.
	shortestInterval = 10 * time.Millisecond
	longestInterval  = 10 * time.Second
)

// say is the Say service of one instance.
type say struct {
	instance string
	faults   faults
}

// Hello greets.
func (s *say) Hello(ctx context.Context, req *hello.HelloRequest, rsp *hello.HelloReply) error {
	if err := s.faults.beforeWork(ctx); err != nil {
		return err
	}
	if n := len(req.GetName()); n < 1 || n > longestName {
		return errors.BadRequest(serviceName, "name: %d bytes: must be 1 to %d", n, longestName)
	}
	rsp.Message = "Hello " + req.GetName()
	rsp.Instance = s.instance
	return nil
}

// Count streams the numbers 1 to limit.
func (s *say) Count(ctx context.Context, req *hello.CountRequest, stream hello.Say_CountStream) error {
	if err := s.faults.beforeWork(ctx); err != nil {
		return err
	}
	limit := req.GetLimit()
	if limit < 1 || limit > highestLimit {
		return errors.BadRequest(serviceName, "limit: %d: must be 1 to %d", limit, highestLimit)
	}
	interval := shortestInterval
	if ms := req.GetIntervalMs(); ms != 0 {
		interval = time.Duration(ms) * time.Millisecond
	}
	if interval < shortestInterval || interval > longestInterval {
		return errors.BadRequest(serviceName, "interval_ms: %d: must be %d to %d",
			interval.Milliseconds(), shortestInterval.Milliseconds(), longestInterval.Milliseconds())
	}
	return s.count(ctx, limit, interval, stream)
}

func (s *say) count(ctx context.Context, limit int32, interval time.Duration, stream hello.Say_CountStream) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for number := int32(1); ; number++ {
		if err := stream.Send(&hello.CountReply{Number: number, Instance: s.instance}); err != nil {
			return err
		}
		if number == limit {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Timeout(serviceName, "counted to %d of %d: %v", number, limit, ctx.Err())
		}
	}
}

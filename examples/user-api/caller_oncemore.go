package main

import (
	"context"
	"log/slog"

	"go-micro.dev/v4"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// newOncemoreCaller calls through oncemore. Its options come after
// service.Init, which would replace a wrapped client where --client is given.
func newOncemoreCaller(service micro.Service, log *slog.Logger) (*caller, error) {
	plugin, err := oncemore.New(oncemore.WithClient(
		wrapper.WithAttemptTimeout(attemptTimeout),
		wrapper.WithHook(logDecisions(log)),
	))
	if err != nil {
		return nil, err
	}
	service.Init(plugin.Options()...)
	return &caller{
		client:   service.Client(),
		carryKey: idempotency.WithKey,
		count: func(ctx context.Context) (context.Context, func() int) {
			report := new(wrapper.Report)
			return wrapper.WithReport(ctx, report), func() int { return len(report.Attempts) }
		},
	}, nil
}

package main

import (
	"context"
	"log/slog"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// A hedge is due for the slowest twentieth of the calls, within bounds.
const (
	hedgeQuantile = 0.95
	leastHedge    = 5 * time.Millisecond
	mostHedge     = 50 * time.Millisecond
)

// newOncemoreCaller calls through oncemore. Its options come after
// service.Init, which would replace a wrapped client where --client is given.
// Where c says so, every hello-srv deduplicates, in one store, whether it announces
// it or not, and what takes longer than usual is sent to a second instance, tips
// included.
func newOncemoreCaller(c config, service micro.Service, of watching, log *slog.Logger) (*caller, error) {
	opts := []wrapper.ClientOption{wrapper.WithObserver(logDecisions(log)), wrapper.WithBreaker(of.circuits.set)}
	if c.keys == keysVouched {
		opts = append(opts, wrapper.WithTrustedKeys())
	}
	if c.client == clientHedged {
		opts = append(opts, wrapper.WithAdaptiveHedge(hedgeQuantile, leastHedge, mostHedge), wrapper.WithHedgedWrites())
	}
	plugin, err := oncemore.New(oncemore.WithClient(opts...), oncemore.WithObserver(of.metrics), oncemore.WithObserver(of.page))
	if err != nil {
		return nil, err
	}
	service.Init(plugin.Options()...)
	return &caller{
		client:   service.Client(),
		carryKey: idempotency.WithKey,
		watch: func(ctx context.Context) (context.Context, func() effort) {
			report, begin := new(wrapper.Report), time.Now()
			return wrapper.WithReport(ctx, report), func() effort {
				logSlow(ctx, log, time.Since(begin), report.Attempts)
				return effortOf(*report)
			}
		},
		reads: []client.CallOption{func(o *client.CallOptions) { o.ConnectionTimeout = readTimeout }},
	}, nil
}

func effortOf(report wrapper.Report) effort {
	e := effort{attempts: len(report.Attempts), report: report}
	for _, a := range report.Attempts {
		if a.Class != retryfunc.None {
			e.failed = append(e.failed, a.Address+" "+a.Class.String())
		}
	}
	return e
}

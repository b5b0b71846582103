package main

import (
	"context"
	"log/slog"
	"time"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/wrapper"
)

// logDecisions logs what became of every failed attempt: who failed how, and
// whether and why there is another.
func logDecisions(log *slog.Logger) wrapper.Observer {
	return wrapper.ObserverFunc(func(ctx context.Context, e wrapper.Event) {
		d, ok := e.(*wrapper.Decided)
		if !ok {
			return
		}
		level, message := slog.LevelInfo, "attempt failed, trying again"
		if !d.Retry {
			level, message = slog.LevelWarn, "attempt failed, giving up"
		}
		log.LogAttrs(ctx, level, message,
			slog.String("call", d.Service+"/"+d.Endpoint),
			slog.Int("attempt", d.Attempt.Number),
			slog.String("address", d.Attempt.Address),
			slog.String("class", d.Attempt.Class.String()),
			slog.Duration("took", d.Attempt.Duration),
			slog.String("reason", string(d.Reason)),
			slog.Duration("delay", d.Delay),
			slog.String("error", merrors.Parse(d.Err.Error()).Detail),
		)
	})
}

// logSlow logs the story of a call that took longer than an instance that does
// not answer should cost.
func logSlow(ctx context.Context, log *slog.Logger, took time.Duration, attempts []wrapper.Attempt) {
	if took <= readTimeout {
		return
	}
	story := make([]string, len(attempts))
	for i, a := range attempts {
		story[i] = a.String()
	}
	log.LogAttrs(ctx, slog.LevelInfo, "slow call", slog.Duration("took", took), slog.Any("attempts", story))
}

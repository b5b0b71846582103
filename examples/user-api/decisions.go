package main

import (
	"context"
	"log/slog"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// logDecisions logs what became of every failed attempt: who failed how, and
// whether and why there is another.
func logDecisions(log *slog.Logger) retryfunc.Hook {
	return func(ctx context.Context, d retryfunc.Decision) {
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
	}
}

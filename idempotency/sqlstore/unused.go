package sqlstore

import (
	"context"
	"log/slog"
	"sync"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// unusedWarnings remembers of which endpoints it was said that their handlers do
// not use the transaction. The zero value remembers none.
type unusedWarnings struct {
	mu   sync.Mutex
	said map[[2]string]struct{}
}

// mostWarnings bounds how many endpoints are told apart, since names may come from
// outside.
const mostWarnings = 1000

func (u *unusedWarnings) warn(ctx context.Context, logger *slog.Logger, s *idempotency.Scope) {
	if !u.first([2]string{s.Service, s.Endpoint}) {
		return
	}
	logger.LogAttrs(ctx, slog.LevelWarn, "sqlstore: a handler has not used its transaction, and is taken to write "+
		"nothing: what it writes elsewhere is not undone with a failure; write through sqlstore.Tx(ctx), "+
		"or say sqlstore.NoWrites(ctx)", slog.String("service", s.Service), slog.String("endpoint", s.Endpoint))
}

// first reports whether this is the first time.
func (u *unusedWarnings) first(endpoint [2]string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, said := u.said[endpoint]; said || len(u.said) >= mostWarnings {
		return false
	}
	if u.said == nil {
		u.said = make(map[[2]string]struct{})
	}
	u.said[endpoint] = struct{}{}
	return true
}

package redisstore

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// ledger is the business behind the guards: it counts what was done per key.
type ledger struct {
	mu   sync.Mutex
	rows map[string]int
}

func newLedger() *ledger { return &ledger{rows: make(map[string]int)} }

// tip makes one keyed call. The reply tells how often the key had been
// executed by then.
func (l *ledger) tip(ctx context.Context, g *idempotency.Guard, key string, takes time.Duration) (string, error) {
	var reply wrapperspb.StringValue
	_, err := g.Do(ctx, idempotency.Call{
		Service: "bank", Endpoint: "Wallet.Tip", Key: idempotency.Key{Value: key},
		Body: wrapperspb.String(key), Reply: &reply,
	}, func(context.Context) error {
		time.Sleep(takes)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.rows[key]++
		reply.Value = fmt.Sprintf("%s: run %d", key, l.rows[key])
		return nil
	})
	return reply.Value, err
}

// twice returns the keys that were executed more than once.
func (l *ledger) twice() (keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, runs := range l.rows {
		if runs > 1 {
			keys = append(keys, key)
		}
	}
	return keys
}

func (l *ledger) total() (runs int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.rows {
		runs += n
	}
	return runs
}

// newGuard returns a guard, as one process would have it.
func newGuard(tb testing.TB, s *Store, options ...idempotency.Option) *idempotency.Guard {
	tb.Helper()
	silent := idempotency.WithHook(func(context.Context, idempotency.Event) {})
	g, err := idempotency.New(s, append([]idempotency.Option{silent}, options...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := g.Drain(ctx); err != nil {
			tb.Error(err)
		}
	})
	return g
}

package telemetry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/oncemore-dev/oncemore/idempotency"
)

const (
	// mostKeys is how many keys are counted; there are more where it is reached.
	mostKeys = 1000
	// keysTimeout is how long the store may take to tell, and keysEvery how often it is asked
	// at the most, however many collect.
	keysTimeout = 5 * time.Second
	keysEvery   = 10 * time.Second
)

// WatchKeys measures the keys of a service that are running, and those that are orphaned,
// whose outcome nobody knows until somebody resolves them (docs/operations.md), and the age
// of the oldest of those. The store is asked when metrics are collected, every 10 s at the most,
// for up to 5 s and 1,000 keys of each kind; where it fails, the collection does. All instances of a service see the same
// keys: take the maximum of what they say. Unregister what is returned before the store is
// closed.
func (t *Telemetry) WatchKeys(store idempotency.Inspector, service string) (metric.Registration, error) {
	if store == nil || service == "" {
		return nil, fmt.Errorf("telemetry: WatchKeys(%v, %q): must be a store that can list keys, as all of oncemore's can, and the name of the service", store, service)
	}
	i := instruments{meter: t.meter}
	running := i.gauge("oncemore.server.keys.running", "{key}", "Keys whose handler runs.")
	orphaned := i.gauge("oncemore.server.keys.orphaned", "{key}", "Keys whose outcome nobody knows until they are resolved.")
	oldest := i.gauge("oncemore.server.keys.oldest", "s", "For how long the oldest of the orphaned keys has been claimed.")
	if i.err != nil {
		return nil, i.err
	}
	k := &keys{store: store, service: service}
	of := metric.WithAttributes(serviceKey.String(service))
	return t.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		seen, err := k.look(ctx)
		if err != nil {
			return err
		}
		o.ObserveFloat64(running, seen.running, of)
		o.ObserveFloat64(orphaned, seen.orphaned, of)
		o.ObserveFloat64(oldest, seen.oldest.Seconds(), of)
		return nil
	}, running, orphaned, oldest)
}

// keys looks at those of a service now and then.
type keys struct {
	store   idempotency.Inspector
	service string

	mu     sync.Mutex
	looked time.Time
	seen   census
}

// census is what a store holds of a service's keys that are not done.
type census struct {
	running, orphaned float64
	oldest            time.Duration
}

func (k *keys) look(ctx context.Context) (census, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.looked.IsZero() && time.Since(k.looked) < keysEvery {
		return k.seen, nil
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	seen, err := k.count(ctx)
	if err != nil {
		return seen, fmt.Errorf("telemetry: the keys of %s: %w", k.service, err)
	}
	k.seen, k.looked = seen, time.Now()
	return seen, nil
}

func (k *keys) count(ctx context.Context) (seen census, err error) {
	seen.running, _, err = k.list(ctx, idempotency.Running)
	if err != nil {
		return seen, err
	}
	seen.orphaned, seen.oldest, err = k.list(ctx, idempotency.Orphaned)
	return seen, err
}

// list counts the keys of a state, and tells the age of the oldest.
func (k *keys) list(ctx context.Context, state idempotency.State) (n float64, oldest time.Duration, err error) {
	filter := idempotency.Filter{States: []idempotency.State{state}, Service: k.service, Limit: mostKeys}
	for e, listErr := range k.store.List(ctx, filter) {
		if listErr != nil {
			return 0, 0, errors.Join(listErr, ctx.Err())
		}
		n++
		if !e.ClaimedAt.IsZero() {
			oldest = max(oldest, time.Since(e.ClaimedAt))
		}
	}
	return n, oldest, nil
}

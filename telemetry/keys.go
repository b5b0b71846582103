package telemetry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/oncemore-dev/oncemore/idempotency"
)

const (
	// mostKeys is how many keys are counted; there are more where it is reached.
	mostKeys = 2000
	// keysTimeout is how long the store may take to tell, and keysEvery how often it is asked
	// at the most, however many collect.
	keysTimeout = 5 * time.Second
	keysEvery   = 10 * time.Second
)

// WatchKeys measures the keys of a service that are running, and those that are orphaned,
// whose outcome nobody knows until somebody resolves them (docs/operations.md), and the age
// of the oldest of those. The store is asked when metrics are collected, every 10 s at the
// most, for up to 5 s and 2,000 keys; where it fails, that is told to OpenTelemetry's error
// handler, and these metrics are left out until it is asked again. Redis has to look at all
// of its keys for it. All instances of a service see the same keys: have one of them watch,
// or take the maximum of what they say. Unregister what is returned before the store is
// closed.
func (t *Telemetry) WatchKeys(store idempotency.Inspector, service string) (metric.Registration, error) {
	if store == nil || service == "" {
		return nil, fmt.Errorf("telemetry: WatchKeys(%T, %q): must be a store that can list keys, as all of oncemore's can, "+
			"and the name of the service", store, service)
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
		if err != nil { // returned, it would keep a periodic reader from exporting anything
			otel.Handle(err)
		}
		if seen == nil {
			return nil
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
	seen   *census // nil: the store has failed
}

// census is what a store holds of a service's keys that are not done.
type census struct {
	running, orphaned float64
	oldest            time.Duration
}

// look returns what was seen at the last look, which may be this one. An error is told
// once, and remembered like anything else: a store that hangs must not delay each collection.
func (k *keys) look(ctx context.Context) (*census, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.looked.IsZero() && time.Since(k.looked) < keysEvery {
		return k.seen, nil
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	var err error
	if k.seen, err = k.count(ctx); err != nil {
		err = fmt.Errorf("telemetry: the keys of %s: %w", k.service, err)
	}
	k.looked = time.Now()
	return k.seen, err
}

// count counts the keys in one pass: to list them may take a look at all that there are.
func (k *keys) count(ctx context.Context) (*census, error) {
	seen := new(census)
	filter := idempotency.Filter{
		States: []idempotency.State{idempotency.Running, idempotency.Orphaned}, Service: k.service, Limit: mostKeys,
	}
	for e, err := range k.store.List(ctx, filter) {
		if err != nil {
			return nil, err
		}
		if e.State == idempotency.Running {
			seen.running++
			continue
		}
		seen.orphaned++
		if !e.ClaimedAt.IsZero() {
			seen.oldest = max(seen.oldest, time.Since(e.ClaimedAt))
		}
	}
	return seen, nil
}

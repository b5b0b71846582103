package telemetry

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// seconds are the bounds of what takes milliseconds in health, and a deadline otherwise.
func seconds() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(
		0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
}

// times are the bounds of counts of attempts.
func times() metric.HistogramOption { return metric.WithExplicitBucketBoundaries(0, 1, 2, 3, 4, 5, 10) }

// clientMetrics are those of calls.
type clientMetrics struct {
	duration    metric.Float64Histogram
	retries     metric.Int64Histogram
	transparent metric.Int64Histogram
	hedges      metric.Int64Histogram
	retryDelay  metric.Float64Histogram
	attempt     metric.Float64Histogram
	decisions   metric.Int64Counter
	ambiguous   metric.Int64Counter
	saved       metric.Int64Counter
	emptied     metric.Int64Counter
	transitions metric.Int64Counter

	calls    sets[callKey]
	attempts sets[attemptKey]
	choices  sets[decidedKey]
	saves    sets[savedBy]
}

// What attribute sets are made of.
type (
	callKey    struct{ service, endpoint, status string }
	attemptKey struct {
		service, endpoint, address string
		class                      retryfunc.Class
	}
	decidedKey struct {
		service, endpoint string
		class             retryfunc.Class
		reason            retryfunc.Reason
		retry             bool
	}
	savedBy struct {
		service, endpoint string
		by                wrapper.Saved
	}
)

func newClientMetrics(m metric.Meter) (*clientMetrics, error) {
	c := new(clientMetrics)
	duration, err := rpcconv.NewClientCallDuration(m)
	c.duration = duration.Inst()
	i := instruments{meter: m, err: err}
	c.retries = i.counts("oncemore.client.retries", "{retry}", "Retries of a call that was retried, hedges and what took the place of an attempt that was never sent left out.")
	c.transparent = i.counts("oncemore.client.transparent_retries", "{retry}", "Attempts of a call in the place of others that were never sent.")
	c.hedges = i.counts("oncemore.client.hedges", "{hedge}", "Hedges of a call that was hedged.")
	c.retryDelay = i.durations("oncemore.client.retry.delay", "How long a call that was retried had no attempt under way between its attempts.")
	c.attempt = i.durations("oncemore.client.attempt.duration", "How long an attempt took.")
	c.decisions = i.counter("oncemore.client.decisions", "{decision}", "What was decided about attempts that failed or took long, and why.")
	c.ambiguous = i.counter("oncemore.client.ambiguous", "{call}", "Calls that failed, and may have been executed.")
	c.saved = i.counter("oncemore.client.saved", "{call}", "Calls that were answered thanks to a retry or a hedge.")
	c.emptied = i.counter("oncemore.client.budget.emptied", "{attempt}", "Retries and hedges that no budget paid for.")
	c.transitions = i.counter("oncemore.client.circuit.transitions", "{transition}", "Instances that were ejected, probed, or came back.")
	return c, i.err
}

// callEnded measures a call.
func (c *clientMetrics) callEnded(ctx context.Context, e *wrapper.CallEnded) {
	plain := c.calls.of(callKey{e.Service, e.Endpoint, ""}, callAttrs)
	measured := plain
	if e.Err != nil {
		measured = c.calls.of(callKey{e.Service, e.Endpoint, statusOf(e.Err)}, callAttrs)
		if e.Ambiguous() {
			c.ambiguous.Add(ctx, 1, plain.add...)
		}
	}
	c.duration.Record(ctx, e.Took.Seconds(), measured.record...)
	if len(e.Attempts) > 1 {
		c.retried(ctx, e, plain)
	}
}

// retried measures a call that had more than one attempt.
func (c *clientMetrics) retried(ctx context.Context, e *wrapper.CallEnded, plain *set) {
	if by := e.Saved(); by != wrapper.SavedByNothing {
		c.saved.Add(ctx, 1, c.saves.of(savedBy{e.Service, e.Endpoint, by}, savedAttrs).add...)
	}
	retries, transparent, hedges := countAttempts(e.Report)
	for _, one := range []struct {
		in metric.Int64Histogram
		n  int64
	}{{c.retries, retries}, {c.transparent, transparent}, {c.hedges, hedges}} {
		if one.n > 0 {
			one.in.Record(ctx, one.n, plain.record...)
		}
	}
	if retries+transparent > 0 {
		c.retryDelay.Record(ctx, idle(e.Attempts).Seconds(), plain.record...)
	}
}

// countAttempts tells retries, what took the place of an attempt that was never sent, and
// hedges apart.
func countAttempts(r wrapper.Report) (retries, transparent, hedges int64) {
	for i, a := range r.Attempts {
		switch {
		case i == 0:
		case a.Hedge:
			hedges++
		case r.Transparent(i):
			transparent++
		default:
			retries++
		}
	}
	return retries, transparent, hedges
}

// idle is for how long none of the attempts was under way, between the first and the last.
func idle(all []wrapper.Attempt) (d time.Duration) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b wrapper.Attempt) int { return a.Began.Compare(b.Began) })
	busy := all[0].Began
	for _, a := range all {
		d += max(0, a.Began.Sub(busy))
		if ends := a.Began.Add(a.Duration); ends.After(busy) {
			busy = ends
		}
	}
	return d
}

func (c *clientMetrics) attemptEnded(ctx context.Context, e *wrapper.AttemptEnded, instances bool) {
	key := attemptKey{service: e.Service, endpoint: e.Endpoint, class: e.Class}
	if instances {
		key.address = e.Address
	}
	c.attempt.Record(ctx, e.Duration.Seconds(), c.attempts.of(key, attemptAttrs).record...)
}

func (c *clientMetrics) decided(ctx context.Context, e *wrapper.Decided) {
	key := decidedKey{e.Service, e.Endpoint, e.Attempt.Class, e.Reason, e.Retry}
	c.decisions.Add(ctx, 1, c.choices.of(key, decidedAttrs).add...)
}

func (c *clientMetrics) budgetEmptied(ctx context.Context, e *wrapper.BudgetEmptied) {
	c.emptied.Add(ctx, 1, metric.WithAttributes(serviceKey.String(e.Service), hedgeKey.Bool(e.Hedge)))
}

func (c *clientMetrics) circuitChanged(ctx context.Context, e *wrapper.CircuitChanged, service string) {
	c.transitions.Add(ctx, 1, metric.WithAttributes(
		serviceKey.String(service), toKey.String(stateName(e.To)), reasonKey.String(e.Event.String())))
}

func callAttrs(k callKey) []attribute.KeyValue {
	return failure([]attribute.KeyValue{system(), method(k.service, k.endpoint)}, k.status)
}

func attemptAttrs(k attemptKey) []attribute.KeyValue {
	attrs := []attribute.KeyValue{method(k.service, k.endpoint), classKey.String(className(k.class))}
	if k.address != "" {
		attrs = serverOf(attrs, k.address)
	}
	return attrs
}

func decidedAttrs(k decidedKey) []attribute.KeyValue {
	return []attribute.KeyValue{
		method(k.service, k.endpoint), classKey.String(className(k.class)), reasonKey.String(k.reason.Code()), retryKey.Bool(k.retry),
	}
}

func savedAttrs(k savedBy) []attribute.KeyValue {
	return []attribute.KeyValue{method(k.service, k.endpoint), savedKey.String(k.by.String())}
}

// instruments makes instruments, and keeps the errors.
type instruments struct {
	meter metric.Meter
	err   error
}

func (i *instruments) keep(err error) { i.err = errors.Join(i.err, err) }

func (i *instruments) counter(name, unit, what string) metric.Int64Counter {
	c, err := i.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(what))
	i.keep(err)
	return c
}

func (i *instruments) counts(name, unit, what string) metric.Int64Histogram {
	h, err := i.meter.Int64Histogram(name, metric.WithUnit(unit), metric.WithDescription(what), times())
	i.keep(err)
	return h
}

func (i *instruments) durations(name, what string) metric.Float64Histogram {
	h, err := i.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(what), seconds())
	i.keep(err)
	return h
}

func (i *instruments) gauge(name, unit, what string) metric.Float64ObservableGauge {
	g, err := i.meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(what))
	i.keep(err)
	return g
}

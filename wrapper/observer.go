package wrapper

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/oncemore-dev/oncemore/internal/loglimit"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// WithObserver adds an observer of the client's calls, attempts and instances; see
// Event. Given again it adds another.
func WithObserver(o Observer) ClientOption {
	return clientOption("WithObserver", func(t *optionTarget, c *ClientOptions) {
		if o == nil {
			t.reject("WithObserver", nil, "an observer such as an ObserverFunc")
			return
		}
		c.observers.add(o)
	})
}

// WithServerObserver adds an observer of the server's requests and messages, and of what
// becomes of their keys; see Event. Given again it adds another.
func WithServerObserver(o Observer) ServerOption {
	return func(s *ServerOptions) {
		if o == nil {
			s.reject("WithServerObserver", nil, "an observer such as an ObserverFunc")
			return
		}
		s.observers.add(o)
	}
}

// Observing has observers told when the snapshot of a selector turns stale, and when it
// is fresh again: give it to selectorx.NewFlat. The plugin does so for the selector that
// it installs. It is an error to give none, or one that is nil.
func Observing(all ...Observer) (selectorx.FlatOption, error) {
	if len(all) == 0 {
		return nil, wrongOption("Observing", "", "given at least one observer")
	}
	var o observers
	for _, one := range all {
		if one == nil {
			return nil, wrongOption("Observing", nil, "given observers such as an ObserverFunc")
		}
		o.add(one)
	}
	return selectorx.WithStatusHook(func(s selectorx.Status) {
		o.tell(context.Background(), &SnapshotChanged{s})
	}), nil
}

// observers are those of one client or server. The zero value has none.
type observers struct {
	all     []Observer
	tracers []Tracer
	panics  *loglimit.Limit
}

func (o *observers) add(one Observer) {
	if one == nil {
		return
	}
	if o.panics == nil {
		o.panics = new(loglimit.Limit)
	}
	o.all = append(o.all, one)
	if tracer, ok := one.(Tracer); ok {
		o.tracers = append(o.tracers, tracer)
	}
}

// none tells whether nobody wants to know, so that no event need be made.
func (o *observers) none() bool { return len(o.all) == 0 }

// tell shows an event to all, in the order in which they were given.
func (o *observers) tell(ctx context.Context, e Event) {
	for _, one := range o.all {
		o.show(ctx, one, e)
	}
}

func (o *observers) show(ctx context.Context, to Observer, e Event) {
	defer o.logPanic("oncemore: an observer panicked")
	to.Observe(ctx, e)
}

// logPanic keeps a panic of what only looks on from those who work.
func (o *observers) logPanic(text string) {
	value := recover()
	if value == nil {
		return
	}
	if leftOut, ok := o.panics.Allow(text, time.Now()); ok {
		slog.Error(text, slog.Any("panic", value), slog.String("stack", string(debug.Stack())), slog.Int("left_out", leftOut))
	}
}

// begin gives every tracer its turn, whose contexts are derived from one another.
func (o *observers) begin(ctx context.Context, turn func(Tracer, context.Context) context.Context) context.Context {
	for _, tracer := range o.tracers {
		ctx = o.beginOne(ctx, tracer, turn) //nolint:fatcontext // one for each tracer
	}
	return ctx
}

func (o *observers) beginOne(
	ctx context.Context, tracer Tracer, turn func(Tracer, context.Context) context.Context,
) (own context.Context) {
	own = ctx
	defer o.logPanic("oncemore: a tracer panicked")
	if begun := turn(tracer, ctx); begun != nil {
		own = begun
	}
	return own
}

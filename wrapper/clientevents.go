package wrapper

import (
	"context"
	"log/slog"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/loglimit"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// beginCall gives the call the context of the client's tracers.
func (s *call) beginCall(ctx context.Context) context.Context {
	if len(s.client.observers.tracers) == 0 {
		return ctx
	}
	service, endpoint := s.req.Service(), s.req.Endpoint()
	return s.client.observers.begin(ctx, func(t Tracer, ctx context.Context) context.Context {
		return t.BeginCall(ctx, service, endpoint)
	})
}

// trace gives the attempt in the story at i the context of the client's tracers.
func (a *attempt) trace(ctx context.Context, i int) context.Context {
	s := a.call
	if len(s.client.observers.tracers) == 0 {
		return ctx
	}
	s.mu.Lock()
	told := s.attempts[i].Attempt
	s.mu.Unlock()
	ctx = s.beginAttempt(ctx, &told)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts[i].traced = ctx //nolint:fatcontext // one for each attempt
	return ctx
}

func (s *call) beginAttempt(ctx context.Context, a *Attempt) context.Context {
	begun := &AttemptBegun{
		Service: s.req.Service(), Endpoint: s.req.Endpoint(), Address: a.Address, Number: a.Number, Hedge: a.Hedge, Began: a.Began,
	}
	return s.client.observers.begin(ctx, func(t Tracer, ctx context.Context) context.Context {
		return t.BeginAttempt(ctx, begun)
	})
}

// callEvents are the events of the end of one call, made in one piece.
type callEvents struct {
	call    CallEnded
	attempt AttemptEnded
}

// tellEnd tells the observers how the call ended, and each of its attempts.
func (s *call) tellEnd(err error) {
	told := &s.client.observers
	if told.none() {
		return
	}
	e := &callEvents{
		call:    CallEnded{Service: s.req.Service(), Endpoint: s.req.Endpoint(), Stream: s.streaming, Report: s.story(err)},
		attempt: AttemptEnded{Service: s.req.Service(), Endpoint: s.req.Endpoint(), Stream: s.streaming},
	}
	e.call.Reopened = s.inherited > 0
	if s.budget != nil {
		e.call.BudgetLeft = s.budget.Balance()
	}
	for i := s.inherited; i < len(e.call.Attempts); i++ {
		e.attempt.Attempt, e.attempt.Transparent = e.call.Attempts[i], e.call.Transparent(i)
		told.tell(s.tracedContext(i, &e.attempt.Attempt), &e.attempt)
	}
	told.tell(s.ctx, &e.call)
}

// tracedContext is that of the attempt in the story at i, which begins only now if it
// was never sent by a goroutine of its own.
func (s *call) tracedContext(i int, a *Attempt) context.Context {
	s.mu.Lock()
	ctx := s.attempts[i].traced
	s.mu.Unlock()
	if ctx == nil {
		return s.beginAttempt(s.ctx, a)
	}
	return ctx
}

// tellDecided tells what was decided about an attempt.
func (s *call) tellDecided(d retryfunc.Decision) {
	told := &s.client.observers
	if told.none() {
		return
	}
	told.tell(s.ctx, &Decided{d})
	if d.Reason == retryfunc.ReasonBudget {
		s.tellBudget(false)
	}
}

func (s *call) tellBudget(hedge bool) {
	if told := &s.client.observers; !told.none() {
		told.tell(s.ctx, &BudgetEmptied{Service: s.req.Service(), Endpoint: s.req.Endpoint(), Hedge: hedge})
	}
}

// watchCircuits tells the observers of the instances that are ejected.
func (o *ClientOptions) watchCircuits() {
	if told := o.observers; !told.none() {
		o.breaker.AddHook(func(t breaker.Transition) { told.tell(context.Background(), &CircuitChanged{t}) })
	}
}

// callLog says by default what somebody may want to know of a call that has ended: that
// a retry or a hedge has saved it, or that nobody knows whether it was executed.
type callLog struct {
	logger *slog.Logger // nil: slog.Default, as it is then
	silent bool
	repeat loglimit.Limit
}

// WithLogger sets where the client says of a call that a retry or a hedge has saved it
// (level info), or that it ended and may have been executed, where it carried a key, with
// that and its attempts (warning): ten lines of each in ten seconds, and then how many were left out.
// Default slog.Default(), looked up when there is something to say; nil for no log. What
// observers see takes nothing's place.
func WithLogger(logger *slog.Logger) ClientOption {
	return clientOption("WithLogger", func(_ *optionTarget, o *ClientOptions) {
		o.log = &callLog{logger: logger, silent: logger == nil}
	})
}

// ended writes a line about a call that needs one. Most do not, and cost nothing.
func (l *callLog) ended(s *call, err error) {
	if l.silent || err == nil && !s.hasRetried() {
		return
	}
	story := s.story(err)
	switch {
	case story.Saved() == SavedByRetry:
		l.write(s, slog.LevelInfo, "oncemore: a retry saved a call", &story)
	case story.Saved() == SavedByHedge:
		l.write(s, slog.LevelInfo, "oncemore: a hedge was answered first", &story)
	case story.Ambiguous() && story.Key != "": // a call without a key is harmless to repeat
		l.write(s, slog.LevelWarn, "oncemore: a call ended, and may have been executed: repeat it with its key only", &story)
	}
}

func (l *callLog) write(s *call, level slog.Level, text string, story *Report) {
	logger := l.logger
	if logger == nil {
		logger = slog.Default()
	}
	if !logger.Enabled(s.ctx, level) {
		return
	}
	leftOut, ok := l.repeat.Allow(text, time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("service", s.req.Service()), slog.String("endpoint", s.req.Endpoint()),
		slog.Duration("took", story.Took), slog.String("attempts", story.Story()),
	}
	if story.Key != "" {
		attrs = append(attrs, slog.String("key", story.Key))
	}
	if story.Err != nil {
		attrs = append(attrs, slog.Any("error", story.Err))
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	logger.LogAttrs(s.ctx, level, text, attrs...)
}

// hasRetried tells whether more than one attempt began.
func (s *call) hasRetried() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.attempts) > 1
}

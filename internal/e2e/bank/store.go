package bank

import (
	"context"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/e2e/checkpoint"
)

// openStore opens the store of an instance, which lasts as long as the process.
func (c Config) openStore(ctx context.Context, l *ledger) (idempotency.Store, error) {
	if c.kind == Redis {
		return redisstore.Open(ctx, c.source)
	}
	opts := []sqlstore.Option{sqlstore.WithMigrate()}
	if c.Detached {
		opts = append(opts, sqlstore.WithDetached())
	}
	return sqlstore.New(ctx, l.db, opts...)
}

// observed is a store that passes points.
type observed struct {
	idempotency.Store
	points *checkpoint.Client
}

// watched is an observed store that can be watched.
type watched struct {
	*observed
	idempotency.Watcher
}

func observe(s idempotency.Store, points *checkpoint.Client) idempotency.Store {
	o := &observed{s, points}
	if w, ok := s.(idempotency.Watcher); ok {
		return watched{o, w}
	}
	return o
}

// Begin passes Running if somebody else executes the call.
func (o *observed) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	out, err := o.Store.Begin(ctx, c)
	if err != nil {
		return out, err
	}
	switch out.State {
	case idempotency.Running:
		_, err = o.points.Pass(ctx, Running, labelFrom(ctx))
	case idempotency.Acquired:
		e := &observedExecution{out.Execution, o.points}
		out.Execution = e
		if u, ok := e.Execution.(idempotency.Undoer); ok {
			out.Execution = undoable{e, u}
		}
	default:
	}
	return out, err
}

// observedExecution passes points around Complete.
type observedExecution struct {
	idempotency.Execution
	points *checkpoint.Client
}

// undoable is an observed execution of a store that can undo.
type undoable struct {
	*observedExecution
	idempotency.Undoer
}

// Complete passes Completing and Completed.
func (e *observedExecution) Complete(ctx context.Context, record []byte) error {
	// A process may be held here for longer than the store may take.
	free := context.WithoutCancel(ctx)
	if _, err := e.points.Pass(free, Completing, labelFrom(ctx)); err != nil {
		return idempotency.NotApplied(err)
	}
	if err := e.Execution.Complete(ctx, record); err != nil {
		return err
	}
	_, err := e.points.Pass(free, Completed, labelFrom(ctx))
	return err
}

// labelKey finds the key under which a request's points are passed.
type labelKey struct{}

func labelFrom(ctx context.Context) string {
	label, _ := ctx.Value(labelKey{}).(string)
	return label
}

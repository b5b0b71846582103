package bank

import (
	"context"
	"errors"
	"fmt"
	"strings"

	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// observe passes Arrived and Answered, and authenticates the caller.
func (b *Bank) observe(next server.HandlerFunc) server.HandlerFunc {
	return func(ctx context.Context, req server.Request, rsp any) error {
		key, ok := metadata.Get(ctx, idempotency.HeaderKey)
		if !ok {
			return next(ctx, req, rsp)
		}
		ctx = context.WithValue(authenticate(ctx), labelKey{}, key)
		// The points are passed, though the caller may have left.
		free := context.WithoutCancel(ctx)
		if _, err := b.points.Pass(free, Arrived, key); err != nil {
			return err
		}
		answer := next(ctx, req, rsp)
		if _, err := b.points.Pass(free, Answered, key); err != nil {
			return errors.Join(answer, err)
		}
		return answer
	}
}

// pass passes a point of the handler, and does what it is told there.
func (b *Bank) pass(ctx context.Context, point, key string) error {
	verdict, err := b.points.Pass(ctx, point, key)
	switch {
	case err != nil:
		return err
	case verdict == Refuse:
		return idempotency.NotDone(merrors.InternalServerError("bank", "refused %s", point))
	case verdict == Fail:
		return merrors.InternalServerError("bank", "failed %s", point)
	}
	return nil
}

// report passes the Event of what needs somebody's attention.
func (b *Bank) report(ctx context.Context, e idempotency.Event) {
	switch e.Kind {
	case idempotency.EventExecuted, idempotency.EventReleased, idempotency.EventReplayed, idempotency.EventRefused,
		idempotency.EventRolledBack, idempotency.EventStoreFailed, idempotency.EventLookedUp:
		return
	default:
	}
	// A director that is gone does not want to know.
	_, _ = b.points.Pass(context.WithoutCancel(ctx), Event(e.Kind.String()), e.Scope.Key)
}

// takeover is the guard's, for a policy.
func (b *Bank) takeover(p Policy) idempotency.Takeover {
	switch p {
	case Rerun:
		return idempotency.TakeoverRerun()
	case Recover:
		return idempotency.TakeoverRecover(b.lookUp)
	default:
		return idempotency.TakeoverHold()
	}
}

// lookUp finds out whether the work of an orphan was done.
func (b *Bank) lookUp(ctx context.Context, o idempotency.Orphan) (done bool, err error) {
	receipts, err := b.ledger.receipts(ctx, o.Scope.Key)
	if err != nil || len(receipts) == 0 {
		return false, err
	}
	reply, ok := o.Reply.(*wrapperspb.StringValue)
	if !ok {
		return false, fmt.Errorf("bank: the reply is a %T", o.Reply)
	}
	reply.Value = receipts[0]
	return true, nil
}

// headerToken carries the token by which a caller is known. The bank believes
// every token, which is as good as a signature here.
const (
	headerToken = "Token"
	tokenPrefix = "token-of-"
)

// callerKey finds the caller who was authenticated.
type callerKey struct{}

// WithCaller makes calls under ctx in the name of a caller.
func WithCaller(ctx context.Context, name string) context.Context {
	return metadata.Set(ctx, headerToken, tokenPrefix+name)
}

func authenticate(ctx context.Context) context.Context {
	token, _ := metadata.Get(ctx, headerToken)
	name, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, callerKey{}, name)
}

// authenticated is the wrapper.CallerFunc.
func authenticated(ctx context.Context, _ string) (string, error) {
	name, ok := ctx.Value(callerKey{}).(string)
	if !ok {
		return "", merrors.Unauthorized("bank", "no token")
	}
	return name, nil
}

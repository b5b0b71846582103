package node

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// execute is what an endpoint does with an order, once it is in the journal.
type execute func(context.Context, Order) error

// handler runs orders, and journals each before it does.
type handler struct {
	endpoint string
	journal  *journal
	execute  execute
}

func (h handler) handle(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	o, err := parseOrder(req.GetValue())
	if err != nil {
		return err
	}
	if err := h.journal.begin(h.endpoint, o.ID); err != nil {
		return err
	}
	if err := h.execute(ctx, o); err != nil {
		return err
	}
	rsp.Value = o.reply()
	return nil
}

// The handlers of the services, exported because go-micro names endpoints after them.
type (
	// Leaf is the handler of LeafService.
	Leaf struct{ handler }
	// Outer is the handler of OuterService.
	Outer struct{ handler }
	// Middle is the handler of MiddleService.
	Middle struct{ handler }
	// Fan is the handler of FanService.
	Fan struct{ handler }
)

// Work is the endpoint of LeafService.
func (l *Leaf) Work(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	return l.handle(ctx, req, rsp)
}

// Pass is the endpoint of OuterService.
func (o *Outer) Pass(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	return o.handle(ctx, req, rsp)
}

// Pass is the endpoint of MiddleService.
func (m *Middle) Pass(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	return m.handle(ctx, req, rsp)
}

// Spread is the endpoint of FanService.
func (f *Fan) Spread(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	return f.handle(ctx, req, rsp)
}

// work takes as long as the order says and the instance's own slowness, and
// goes on whatever becomes of the caller, as handlers do.
func work(s Spec) execute {
	return func(_ context.Context, o Order) error {
		if s.Failing {
			return merrors.InternalServerError("leaf", "this instance fails")
		}
		<-time.After(o.Work + s.Slow)
		return nil
	}
}

// pass hands the order on.
func pass(c client.Client, service string) execute {
	return func(ctx context.Context, o Order) error {
		return Call(ctx, c, service, Order{ID: o.ID, Work: o.Work})
	}
}

// spread makes all its calls at once and needs all their answers.
func spread(c client.Client) execute {
	return func(ctx context.Context, o Order) error {
		errs := make([]error, Width)
		var all sync.WaitGroup
		for i := range Width {
			all.Go(func() {
				errs[i] = Call(ctx, c, LeafService, Order{ID: o.ID + "/" + strconv.Itoa(i), Work: o.Work})
			})
		}
		all.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// executionOf returns what the service's endpoint does.
func executionOf(s Spec, c client.Client) (execute, error) {
	switch s.Program.Name {
	case LeafService:
		return work(s), nil
	case OuterService:
		return pass(c, MiddleService), nil
	case MiddleService:
		return pass(c, LeafService), nil
	case FanService:
		return spread(c), nil
	}
	return nil, fmt.Errorf("node: no service is called %q", s.Program.Name)
}

package wrapper_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/tcpproxy"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// Crier is a handler that answers what it was told.
type Crier struct{}

// Said is a message that only JSON can carry.
type Said struct{ Text string }

// Say answers in protobuf.
func (Crier) Say(_ context.Context, req, rsp *wrapperspb.StringValue) error {
	rsp.Value = req.GetValue()
	return nil
}

// SayJSON answers in JSON.
func (Crier) SayJSON(_ context.Context, req, rsp *Said) error {
	rsp.Text = req.Text
	return nil
}

// crier adds Crier to an instance.
func crier(i fixture.Instance) ([]server.Option, error) {
	i.Handle(Crier{})
	return nil, nil
}

// message is a caller's own, which it uses for one call after the other.
type message interface {
	set(text string)
	text() string
	value() any
}

type protoMessage struct{ wrapperspb.StringValue }

func (m *protoMessage) set(text string) { m.Value = text }
func (m *protoMessage) text() string    { return m.Value }
func (m *protoMessage) value() any      { return &m.StringValue }

type jsonMessage struct{ Said }

func (m *jsonMessage) set(text string) { m.Text = text }
func (m *jsonMessage) text() string    { return m.Text }
func (m *jsonMessage) value() any      { return &m.Said }

// TestLosersTouchNothing: a caller's messages are its own again when the call has
// returned, though an attempt that another has overtaken runs yet: one instance
// takes so long to connect to that its attempts are sent, if they were, after that.
func TestLosersTouchNothing(t *testing.T) {
	for _, tt := range []struct {
		name, endpoint, content string
		message                 func() message
	}{
		{"protobuf", "Crier.Say", "application/protobuf", func() message { return new(protoMessage) }},
		{"JSON", "Crier.SayJSON", "application/json", func() message { return new(jsonMessage) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, transport string) {
				c := crierFleet(t, transport, tt.endpoint)
				var (
					group sync.WaitGroup
					more  atomic.Int32
				)
				for i := range 1000 {
					group.Go(func() {
						req, rsp := tt.message(), tt.message()
						for round := range 2 {
							said := fmt.Sprintf("%d/%d", i, round)
							req.set(said)
							var report wrapper.Report
							err := sayOnce(t.Context(), c, tt.endpoint, tt.content, req, rsp, &report)
							if err != nil || rsp.text() != said {
								t.Errorf("answer %q to %q, error %v: %s", rsp.text(), said, err, report.Story())
							}
							if len(report.Attempts) > 1 {
								more.Add(1)
							}
							req.set("changed")
							rsp.set("changed")
						}
					})
				}
				group.Wait()
				if more.Load() == 0 {
					t.Error("no attempt was overtaken")
				}
			})
		})
	}
}

func sayOnce(ctx context.Context, c client.Client, endpoint, content string, req, rsp message, report *wrapper.Report) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request := c.NewRequest(fixture.DefaultService, endpoint, req.value(), client.WithContentType(content))
	return c.Call(ctx, request, rsp.value(), wrapper.WithStory(report), wrapper.WithAttempts(20))
}

// crierFleet has an instance and, by another address that takes four seconds to
// connect to, another.
func crierFleet(t *testing.T, transport, endpoint string) client.Client {
	t.Helper()
	config := fixture.Config{Transport: transport, Setup: "crier"}
	stock := []client.Option{client.Retries(0)}
	if transport == fixture.MUCP {
		stock = append(stock, client.PoolSize(0)) // each call dials
	}
	slow := tcpproxy.Start(t, fixture.Start(t, config).Address())
	slow.Slow(4 * time.Second)
	addresses := []string{slow.Address(), fixture.Start(t, config).Address()}
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{endpoint: retryfunc.SafetySafe})
	if err != nil {
		t.Fatal(err)
	}
	budget, err := retryfunc.NewBudget(retryfunc.WithRatio(1), retryfunc.WithMinPerSecond(1000))
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, fixture.NewClient(t, transport, addresses, stock...), wrapper.WithSafety(rule), wrapper.WithBudget(budget))
}

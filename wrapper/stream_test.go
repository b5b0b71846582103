package wrapper_test

import (
	"context"
	"testing"

	"go-micro.dev/v4/client"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// open opens a stream of n messages.
func open(ctx context.Context, c client.Client, n string, opts ...client.CallOption) (client.Stream, error) {
	req := fixture.NewRequest(c, fixture.Stream, n, client.StreamingRequest())
	return c.Stream(ctx, req, opts...)
}

func TestStreamOpensOnAnotherInstance(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			dead := fixture.RefusedAddress(t)
			alive := fixture.Start(t, fixture.Config{Transport: transport})
			addresses := []string{dead, alive.Address()}
			for name, opts := range map[string][]client.CallOption{
				"selected":   nil,
				"by address": {client.WithAddress(addresses...)},
			} {
				t.Run(name, func(t *testing.T) {
					c := wrap(t, fixture.NewClient(t, transport, addresses))
					for range 10 {
						streamOnce(t, c, opts...)
					}
				})
			}
		})
	}
}

func streamOnce(t *testing.T, c client.Client, opts ...client.CallOption) {
	t.Helper()
	stream, err := open(t.Context(), c, "1", opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	if err := stream.Send(wrapperspb.String("1")); err != nil {
		t.Fatal(err)
	}
	rsp := new(wrapperspb.StringValue)
	if err := stream.Recv(rsp); err != nil || rsp.GetValue() != "0" {
		t.Errorf("received %q, error %v", rsp.GetValue(), err)
	}
}

func TestStreamThatCannotOpenTellsItsStory(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			c := wrap(t, fixture.NewClient(t, transport, []string{fixture.RefusedAddress(t), fixture.RefusedAddress(t)}))
			var report wrapper.Report
			_, err := open(wrapper.WithReport(t.Context(), &report), c, "1")
			if err == nil || len(report.Attempts) < 2 {
				t.Fatalf("error %v, story %v", err, report.Attempts)
			}
			for _, a := range report.Attempts {
				if a.Class != retryfunc.NotSent {
					t.Errorf("story: %v", a)
				}
			}
		})
	}
}

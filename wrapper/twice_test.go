package wrapper_test

import (
	"context"
	"errors"
	"testing"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/wrapper"
)

// passing is a wrapper of somebody else's that does nothing.
type passing struct{ client.Client }

func (p passing) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	return p.Client.Call(ctx, req, rsp, opts...)
}

// hiding is one that tells nothing of what it wraps.
type hiding struct{ client.Client }

func (h hiding) Options() client.Options {
	o := h.Client.Options()
	o.Context = nil
	return o
}

// TestWrappedTwice: each wrapper would retry what the other has retried. It is an
// error of whatever is done with the client, and of Check wherever that can see it.
func TestWrappedTwice(t *testing.T) {
	for _, tt := range []struct {
		name    string
		between func(client.Client) client.Client
		checked bool
	}{
		{"directly", func(c client.Client) client.Client { return c }, true},
		{"with another wrapper between", func(c client.Client) client.Client { return passing{passing{c}} }, true},
		{"with one between that hides it", func(c client.Client) client.Client { return hiding{c} }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen ends
			wire := new(recorder)
			c := wrap(t, passing{tt.between(newWire(t, nodes("a"), wire.wire))}, seen.option())
			if err := wrapper.Check(passing{c}); errors.Is(err, wrapper.ErrWrappedTwice) != tt.checked {
				t.Errorf("Check: got %v, want that it is wrapped twice: %t", err, tt.checked)
			}
			_, _, err := call(t.Context(), c, write)
			checkTwice(t, "Call", err)
			_, err = c.Stream(t.Context(), c.NewRequest("bank", write, nil, client.StreamingRequest()))
			checkTwice(t, "Stream", err)
			if got := len(wire.addresses()); got != 0 {
				t.Errorf("%d attempts were sent", got)
			}
			if got := len(seen.list()); got != 2 {
				t.Errorf("%d ends, want one of the call and one of the stream", got)
			}
			if !tt.checked {
				return // a message is handed to the broker once in any case
			}
			checkTwice(t, "Publish", c.Publish(t.Context(), c.NewMessage("topic", nil)))
		})
	}
}

func checkTwice(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, wrapper.ErrWrappedTwice) {
		t.Errorf("%s: got %v, want %v", what, err, wrapper.ErrWrappedTwice)
	}
	if e, ok := merrors.As(err); !ok || e.Code != 400 {
		t.Errorf("%s: got %v, want a 400 of go-micro's", what, err)
	}
}

// TestNotWrappedTwice: one wrapper on two clients, and a client without a context
// in its options, are nothing to complain about.
func TestNotWrappedTwice(t *testing.T) {
	w, err := wrapper.NewClientWrapper()
	if err != nil {
		t.Fatal(err)
	}
	wire := new(recorder)
	for _, inner := range []client.Client{
		wireClient{stock(nodes("a")), wire.wire}, wireClient{stock(nodes("a")), wire.wire}, hiding{wireClient{stock(nodes("a")), wire.wire}},
	} {
		c := w(inner)
		if err := wrapper.Check(c); err != nil {
			t.Errorf("Check: %v", err)
		}
		if _, _, err := call(t.Context(), c, write); err != nil {
			t.Errorf("Call: %v", err)
		}
	}
	if err := wrapper.Check(hiding{stock(nil)}); err != nil {
		t.Errorf("Check of a client that is not wrapped: %v", err)
	}
}

package wrapper_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// clockOff makes a client of handle whose host's clock is off by d: all that it
// dates is off by as much, when it reaches the server.
func clockOff(t *testing.T, handle server.HandlerFunc, d time.Duration, opts ...wrapper.ClientOption) client.Client {
	t.Helper()
	return newWire(t, nodes("a", "b", "c"), func(
		ctx context.Context, _ *registry.Node, req client.Request, rsp any, _ client.CallOptions,
	) error {
		md, _ := metadata.FromContext(ctx)
		for _, name := range []string{idempotency.HeaderSent, idempotency.HeaderIssued} {
			if dated, err := idempotency.ParseIssued(md[name]); err != nil {
				return err
			} else if !dated.IsZero() {
				md[name] = idempotency.FormatIssued(dated.Add(d))
			}
		}
		return handle(metadata.NewContext(ctx, md), request{endpoint: req.Endpoint(), body: req.Body()}, rsp)
	}, append([]wrapper.ClientOption{wrapper.WithTrustedKeys()}, opts...)...)
}

func pay(ctx context.Context, c client.Client, opts ...client.CallOption) error {
	req := c.NewRequest("hello-srv", "Wallet.Tip", wrapperspb.String("10 cents"))
	return c.Call(ctx, req, &wrapperspb.StringValue{}, opts...)
}

// TestSlowClockIsNotLate: after a release every caller is executed, whatever its
// clock says.
func TestSlowClockIsNotLate(t *testing.T) {
	busy := idempotency.NotDone(merrors.InternalServerError("bank", "busy"))
	for name, off := range map[string]time.Duration{
		"right": 0, "30 s slow": -30 * time.Second, "an hour slow": -time.Hour + time.Minute, "30 s fast": 30 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			handle := wrapHandler(t, func(context.Context, server.Request, any) error {
				if runs++; runs%2 == 1 {
					return busy
				}
				return nil
			})
			ctx := idempotency.WithKey(t.Context(), "k")
			if err := pay(ctx, clockOff(t, handle, 0)); merrors.FromError(err).Detail != "busy" {
				t.Fatalf("the first call: %v, want busy", err)
			}
			var story wrapper.Report
			if err := pay(ctx, clockOff(t, handle, off), wrapper.WithStory(&story)); err != nil {
				t.Errorf("after the release: %v; %s", err, story.Story())
			}
			if runs != 2 {
				t.Errorf("%d executions, want 2; %s", runs, story.Story())
			}
			want := 1
			if off < 0 { // it is told of the release first
				want = 2
			}
			if n := len(story.Attempts); n != want {
				t.Errorf("%d attempts, want %d; %s", n, want, story.Story())
			}
		})
	}
}

// TestStragglerKnowsOfNoRelease: what a caller sent before it was told stays late,
// also in the middle of a call that goes on with a slow clock.
func TestStragglerKnowsOfNoRelease(t *testing.T) {
	runs := 0
	handle := wrapHandler(t, func(context.Context, server.Request, any) error {
		runs++
		return idempotency.NotDone(errors.New("busy"))
	})
	send := func(more ...string) error {
		ctx := keyed(t.Context(), "k", more...)
		return handle(ctx, request{endpoint: "Wallet.Tip", body: wrapperspb.String("10 cents")}, &wrapperspb.StringValue{})
	}
	at := func(seconds int) string {
		return idempotency.FormatIssued(time.Now().Add(time.Duration(seconds) * time.Second))
	}
	released := func(err error) string {
		t.Helper()
		mark, ok := retryfunc.ParseMark(err)
		if !ok || mark.Kind != retryfunc.MarkRefused || mark.NoRetry || mark.Released.IsZero() {
			t.Fatalf("answered %v, want a refusal that tells of the release", err)
		}
		return idempotency.FormatIssued(mark.Released)
	}
	wantRuns := func(want int) {
		t.Helper()
		if runs != want {
			t.Fatalf("%d executions, want %d", runs, want)
		}
	}
	if err := send(idempotency.HeaderSent, at(-1)); err == nil {
		t.Fatal("no error")
	}
	wantRuns(1)
	first := released(send(idempotency.HeaderSent, at(-30))) // a straggler, or a slow clock
	wantRuns(1)
	stuck := []string{idempotency.HeaderSent, at(-29), idempotency.HeaderReleased, first}
	if err := send(idempotency.HeaderSent, at(-28), idempotency.HeaderReleased, first); err == nil {
		t.Error("no error")
	}
	wantRuns(2)
	second := released(send(stuck...)) // which knows of the first release only
	wantRuns(2)
	if second == first {
		t.Error("two releases look the same")
	}
	if err := send(idempotency.HeaderSent, at(-27), idempotency.HeaderReleased, second); err == nil {
		t.Error("no error")
	}
	wantRuns(3)
	if e := merrors.FromError(send(idempotency.HeaderReleased, "soon")); e.Code != 400 {
		t.Errorf("malformed: %v, want 400", e)
	}
}

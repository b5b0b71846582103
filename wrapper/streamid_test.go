package wrapper_test

import (
	"context"
	"regexp"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport/headers"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture/hello"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestEachAttemptHasAnIdentityOnItsConnection, where the server keeps it from
// its handlers: go-micro's mucp server would otherwise take the requests of a
// pooled connection for one, and lose some.
func TestEachAttemptHasAnIdentityOnItsConnection(t *testing.T) {
	announced := nodes("a", "b")
	for _, n := range announced[0].Nodes {
		n.Metadata[wrapper.MetadataServer] = "1"
	}
	wire := &recorder{answers: []error{errRefused, nil}}
	c := newWire(t, announced, wire.wire, safety(t))
	for _, endpoint := range []string{read, write} {
		for range 3 {
			if _, _, err := call(t.Context(), c, endpoint); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := make(map[string]bool)
	for i, s := range wire.arrived {
		id := s.metadata[headers.Stream]
		if id == "" || seen[id] {
			t.Errorf("attempt %d has identity %q", i+1, id)
		}
		seen[id] = true
	}
}

// TestWhatAnAttemptHasTravelsWithItsIdentity: a mucp server answers with all metadata of
// a request, and so each name that it need not have makes all calls slower.
func TestWhatAnAttemptHasTravelsWithItsIdentity(t *testing.T) {
	for version, want := range map[string]string{"1": `^oncemore-\w+$`, "2": `^oncemore-\w+; \d+u?s(; spare=\d)?$`} {
		announced := nodes("a", "b", "c")
		for _, n := range announced[0].Nodes {
			n.Metadata[wrapper.MetadataServer] = version
		}
		wire := new(recorder)
		c := newWire(t, announced, wire.wire, safety(t))
		for _, endpoint := range []string{read, write} {
			if _, _, err := call(t.Context(), c, endpoint); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range wire.arrived {
			if got := s.metadata[headers.Stream]; !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("to a server of version %s the identity is %q, want %s", version, got, want)
			}
			if got, ok := s.metadata[idempotency.HeaderAttemptTime]; ok {
				t.Errorf("%s has a name of its own: %q", idempotency.HeaderAttemptTime, got)
			}
		}
	}
}

// TestHandlersEndWithTheAttempt, wherever it says what it has left.
func TestHandlersEndWithTheAttempt(t *testing.T) {
	for name, md := range map[string]metadata.Metadata{
		"a name of its own":   {idempotency.HeaderAttemptTime: "40s; spare=1"},
		"behind the identity": {headers.Stream: "oncemore-1k; 40s; spare=1"},
		"in lower case":       {"micro-stream": "oncemore-1k; 40s"},
	} {
		handle := wrapHandler(t, func(ctx context.Context, _ server.Request, _ any) error {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 40*time.Second || time.Until(deadline) < 20*time.Second {
				t.Errorf("%s: the handler has until %v", name, deadline)
			}
			if left, ok := metadata.FromContext(ctx); ok && len(left) > 0 {
				t.Errorf("%s: the handler's metadata is %v", name, left)
			}
			return nil
		})
		req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{}}
		if err := handle(metadata.NewContext(context.WithoutCancel(t.Context()), md), req, new(hello.TipReply)); err != nil {
			t.Error(err)
		}
	}
}

func TestPlainServersGetNoIdentity(t *testing.T) {
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire)
	if _, _, err := call(t.Context(), c, write, client.WithRetries(0)); err != nil {
		t.Fatal(err)
	}
	if id, ok := wire.arrived[0].metadata[headers.Stream]; ok {
		t.Errorf("a plain server got identity %q and would pass it on", id)
	}
}

// TestHandlersSeeNothingOfIt: neither the identity nor the key of a call reaches
// the metadata that its handler would pass on.
func TestHandlersSeeNothingOfIt(t *testing.T) {
	var got metadata.Metadata
	handle := wrapHandler(t, func(ctx context.Context, _ server.Request, _ any) error {
		got, _ = metadata.FromContext(ctx)
		return nil
	})
	ctx := keyed(t.Context(), "k", headers.Stream, "oncemore-1", "Retry-Count", "2", "Idempotency-Sent", "2026-01-01T00:00:00Z", "Trace", "1")
	req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
	if err := handle(ctx, req, new(hello.TipReply)); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got["Trace"] != "1" {
		t.Errorf("the handler's metadata is %v", got)
	}
}

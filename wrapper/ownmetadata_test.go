package wrapper_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture/hello"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// spellings are the cases in which a name may arrive.
func spellings() map[string]func(string) string {
	return map[string]func(string) string{
		"title": func(s string) string { return s },
		"lower": strings.ToLower, // grpc
		"upper": strings.ToUpper, // a gateway's environment
		"mixed": func(s string) string { return strings.ToLower(s[:1]) + s[1:] },
	}
}

// TestMetadataInAnyCase: a call is known by its key, whatever the case of the
// names, and none of its metadata goes on to the handler.
func TestMetadataInAnyCase(t *testing.T) {
	for name, spell := range spellings() {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.NewContext(t.Context(), metadata.Metadata{
				spell(idempotency.HeaderKey):        "k",
				spell(idempotency.HeaderFor):        "hello-srv/Wallet.Tip",
				spell(idempotency.HeaderIssued):     "2099-01-02T15:04:05Z",
				spell(idempotency.HeaderSent):       "2099-01-02T15:04:05Z",
				spell(idempotency.HeaderRetryCount): "0",
				spell("Micro-Stream"):               "7",
				"Tenant":                            "a",
			})
			runs := 0
			handle := wrapHandler(t, func(ctx context.Context, _ server.Request, _ any) error {
				runs++
				md, _ := metadata.FromContext(ctx)
				if left := slices.Sorted(maps.Keys(md)); !slices.Equal(left, []string{"Tenant"}) {
					t.Errorf("the handler got the metadata %q, want Tenant alone", left)
				}
				return nil
			}, wrapper.WithKeyMode(wrapper.KeyRequired))
			req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
			for range 2 {
				if err := handle(ctx, req, new(hello.TipReply)); err != nil {
					t.Error(err)
				}
			}
			if runs != 1 {
				t.Errorf("%d executions, want 1", runs)
			}
		})
	}
}

// TestForeignKeyInAnyCase: what a key was minted for is read in any case, too.
func TestForeignKeyInAnyCase(t *testing.T) {
	for name, spell := range spellings() {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.NewContext(t.Context(), metadata.Metadata{
				spell(idempotency.HeaderKey): "k",
				spell(idempotency.HeaderFor): "bank/Bank.Pay",
			})
			handle := wrapHandler(t, func(context.Context, server.Request, any) error { return nil },
				wrapper.WithKeyMode(wrapper.KeyRequired))
			if err := handle(ctx, request{endpoint: "Wallet.Tip", body: &hello.TipRequest{}}, new(hello.TipReply)); err == nil {
				t.Error("a key that was minted for another call was taken")
			}
		})
	}
}

// TestClientKeepsNoOthersMetadata: the key of the call that a context came from
// does not go on, whatever the case of its name.
func TestClientKeepsNoOthersMetadata(t *testing.T) {
	for name, spell := range spellings() {
		t.Run(name, func(t *testing.T) {
			wire := new(recorder)
			c := newWire(t, nodes("a"), wire.wire, safety(t))
			ctx := metadata.NewContext(t.Context(), metadata.Metadata{spell(idempotency.HeaderKey): "leaked", "Tenant": "a"})
			for _, endpoint := range []string{read, write} {
				if _, _, err := call(ctx, c, endpoint); err != nil {
					t.Fatal(err)
				}
			}
			for _, attempt := range wire.arrived {
				for name, value := range attempt.metadata {
					if value == "leaked" {
						t.Errorf("%s=%s was sent on", name, value)
					}
				}
			}
		})
	}
}

// TestCallersMetadataIsTheirs: what is added for a call, and taken from a request, is
// written to copies, for the caller may use one context, or map, for many calls at once.
func TestCallersMetadataIsTheirs(t *testing.T) {
	given := metadata.Metadata{"tenant": "a", idempotency.HeaderKey: "leaked", "Trace": "1"}
	theirs := maps.Clone(given)
	ctx := metadata.NewContext(t.Context(), theirs)
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire, safety(t))
	handle := wrapHandler(t, func(ctx context.Context, _ server.Request, _ any) error {
		for _, name := range []string{"tenant", "Tenant", "trace", "Trace"} {
			bare, _ := metadata.Get(metadata.NewContext(t.Context(), given), name)
			if got, _ := metadata.Get(ctx, name); got != bare {
				t.Errorf("the handler finds %s=%q, and %q without the wrapper", name, got, bare)
			}
		}
		return nil
	})
	for _, endpoint := range []string{read, write} {
		if _, _, err := call(ctx, c, endpoint); err != nil {
			t.Error(err)
		}
	}
	if err := handle(ctx, request{endpoint: "Wallet.Tip", body: &hello.TipRequest{}}, new(hello.TipReply)); err != nil {
		t.Error(err)
	}
	for _, attempt := range wire.arrived {
		if attempt.metadata["Tenant"] != "a" || attempt.metadata["Trace"] != "1" {
			t.Errorf("an attempt was sent with %v", attempt.metadata)
		}
	}
	if !maps.Equal(theirs, given) {
		t.Errorf("the caller's metadata is %v now", theirs)
	}
}

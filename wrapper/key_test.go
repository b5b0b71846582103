package wrapper_test

import (
	"context"
	"errors"
	"testing"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func TestKeyIsTheSameForAllAttempts(t *testing.T) {
	wire := &recorder{answers: []error{errRefused, errBroken, nil}}
	c := newWire(t, nodes("a", "b", "c"), wire.wire, wrapper.WithTrustedKeys())
	_, report, err := call(t.Context(), c, write)
	if err != nil {
		t.Fatal(err)
	}
	if len(wire.arrived) != 3 {
		t.Fatalf("%d attempts", len(wire.arrived))
	}
	for i, s := range wire.arrived {
		if s.metadata[idempotency.HeaderKey] != report.Key || report.Key == "" {
			t.Errorf("attempt %d carries key %q, the call %q", i+1, s.metadata[idempotency.HeaderKey], report.Key)
		}
		if got := s.metadata[idempotency.HeaderRetryCount]; got != []string{"0", "1", "2"}[i] {
			t.Errorf("attempt %d carries retry count %q", i+1, got)
		}
		if got := s.metadata[idempotency.HeaderFor]; got != "bank/"+write {
			t.Errorf("attempt %d is for %q", i+1, got)
		}
		if sent := s.metadata[idempotency.HeaderSent]; (sent == "") != (i == 0) {
			t.Errorf("attempt %d was sent at %q: the first one is when its key is issued", i+1, sent)
		}
		if _, err := idempotency.ParseIssued(s.metadata[idempotency.HeaderIssued]); err != nil || s.metadata[idempotency.HeaderIssued] == "" {
			t.Errorf("attempt %d was issued at %q: %v", i+1, s.metadata[idempotency.HeaderIssued], err)
		}
	}
}

func TestEveryCallHasAKeyOfItsOwn(t *testing.T) {
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire)
	_, first, _ := call(t.Context(), c, write)
	_, second, _ := call(t.Context(), c, write)
	if first.Key == "" || first.Key == second.Key {
		t.Errorf("keys %q and %q", first.Key, second.Key)
	}
}

func TestKeyOfTheCaller(t *testing.T) {
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire)
	_, report, err := call(idempotency.WithKey(t.Context(), `"order-7"`), c, write)
	if err != nil || report.Key != "order-7" || wire.arrived[0].metadata[idempotency.HeaderKey] != "order-7" {
		t.Errorf("key %q, arrived %v, error %v", report.Key, wire.arrived, err)
	}
	if sent := wire.arrived[0].metadata[idempotency.HeaderSent]; sent == "" {
		t.Error("nobody can tell when the attempt was sent")
	}
	if issued, ok := wire.arrived[0].metadata[idempotency.HeaderIssued]; ok {
		t.Errorf("the caller's key was said to be issued at %q", issued)
	}
}

func TestMalformedKeyIsNeverSent(t *testing.T) {
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire)
	_, _, err := call(idempotency.WithKey(t.Context(), "kässe"), c, write)
	if !errors.Is(err, idempotency.ErrInvalidKey) {
		t.Errorf("error %v, want %v", err, idempotency.ErrInvalidKey)
	}
	if e, ok := merrors.As(err); !ok || e.Code != 400 || e.Id != "oncemore" {
		t.Errorf("as a go-micro error: %v", e)
	}
	if len(wire.arrived) != 0 {
		t.Errorf("%d attempts were sent", len(wire.arrived))
	}
}

// TestLeakedKeyIsNotPassedOn makes calls in the context of a handler, whose
// metadata still carries what its caller sent.
func TestLeakedKeyIsNotPassedOn(t *testing.T) {
	leaked := metadata.Metadata{
		"idempotency-key": "parent", "Idempotency-For": "shop/Order.Place",
		"Idempotency-Issued": "2026-01-01T00:00:00Z", "Retry-Count": "4", "Trace": "1",
	}
	for _, endpoint := range []string{read, write} {
		t.Run(endpoint, func(t *testing.T) {
			wire := new(recorder)
			c := newWire(t, nodes("a"), wire.wire, safety(t))
			if _, _, err := call(metadata.NewContext(t.Context(), leaked), c, endpoint); err != nil {
				t.Fatal(err)
			}
			got := wire.arrived[0].metadata
			if got["Trace"] != "1" {
				t.Errorf("metadata of others was lost: %v", got)
			}
			if got[idempotency.HeaderKey] == "parent" || got[idempotency.HeaderFor] == "shop/Order.Place" || got[idempotency.HeaderRetryCount] == "4" {
				t.Errorf("passed on: %v", got)
			}
			if _, keyed := got[idempotency.HeaderKey]; keyed != (endpoint == write) {
				t.Errorf("%s carries %v", endpoint, got)
			}
		})
	}
	if leaked["Retry-Count"] != "4" {
		t.Error("the caller's metadata was changed")
	}
}

func TestSafeCallCarriesNothing(t *testing.T) {
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire, safety(t))
	if _, report, err := call(t.Context(), c, read); err != nil || report.Key != "" || len(wire.arrived[0].metadata) != 0 {
		t.Errorf("key %q, metadata %v, error %v", report.Key, wire.arrived[0].metadata, err)
	}
}

func TestNestedCallsDeriveTheirKeys(t *testing.T) {
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire)
	run := func() context.Context {
		return idempotency.WithExecution(t.Context(), idempotency.Key{Value: "parent", For: "shop/Order.Place"}, "ann")
	}
	ctx := run()
	_, first, err := call(ctx, c, write)
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := call(ctx, c, write)
	if err != nil || second.Key == first.Key {
		t.Errorf("a second call has key %q, the first %q, error %v", second.Key, first.Key, err)
	}
	_, labelled, err := call(idempotency.WithStep(ctx, "fee"), c, write)
	if err != nil || labelled.Key == first.Key || labelled.Key == second.Key {
		t.Errorf("step has key %q, the calls before %q and %q, error %v", labelled.Key, first.Key, second.Key, err)
	}
	ctx = run()
	for i, want := range []string{first.Key, second.Key} {
		if _, again, err := call(ctx, c, write); err != nil || again.Key != want {
			t.Errorf("call %d of the second run has key %q, of the first %q, error %v", i+1, again.Key, want, err)
		}
	}
}

func TestAmbiguousNestedCallKeepsItsKey(t *testing.T) {
	wire := &recorder{answers: []error{errBroken, nil}}
	c := newWire(t, nodes("a"), wire.wire)
	ctx := idempotency.WithExecution(t.Context(), idempotency.Key{Value: "parent"}, "")
	_, first, err := call(ctx, c, write, client.WithRetries(0))
	if err == nil {
		t.Fatal("no error")
	}
	_, second, err := call(ctx, c, write)
	if err != nil || first.Key != second.Key {
		t.Errorf("keys %q and %q, error %v", first.Key, second.Key, err)
	}
}

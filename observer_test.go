package oncemore_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"go-micro.dev/v4"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// sightings are the ends of calls and of requests. They are safe for concurrent use.
type sightings struct {
	mu       sync.Mutex
	calls    []wrapper.CallEnded
	requests []wrapper.RequestEnded
	guarded  int
}

func (s *sightings) Observe(_ context.Context, e wrapper.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := e.(type) {
	case *wrapper.CallEnded:
		s.calls = append(s.calls, *e)
	case *wrapper.RequestEnded:
		s.requests = append(s.requests, *e)
	case *wrapper.Guarded:
		s.guarded++
	}
}

// TestObserverSeesBothSides: one option shows the calls of a service and its requests,
// a key joins the two, and a second option adds a second observer.
func TestObserverSeesBothSides(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		var bank, again, caller sightings
		at.run("bank", at.plugin(memory(t), oncemore.WithObserver(&bank), oncemore.WithObserver(&again)), func(s micro.Service) {
			must(t, micro.RegisterHandler(s.Server(), new(Bank)))
		})
		p := at.plugin(nil, oncemore.WithObserver(&caller))
		c := p.ClientWrapper()(at.stock())
		for range 2 {
			must(t, pay(idempotency.WithKey(t.Context(), "order-7"), c, "x"))
		}
		if len(caller.calls) != 2 || len(caller.requests) != 0 {
			t.Fatalf("the caller saw %d calls and %d requests, want 2 and 0", len(caller.calls), len(caller.requests))
		}
		if len(bank.requests) != 2 || len(again.requests) != 2 || bank.guarded == 0 {
			t.Fatalf("the bank's observers saw %d and %d requests, and %d events of the guard, want 2, 2 and some",
				len(bank.requests), len(again.requests), bank.guarded)
		}
		for i, r := range bank.requests {
			if sent := caller.calls[i].Key; r.Key != sent || sent == "" {
				t.Errorf("request %d has the key %q, and its call %q", i, r.Key, sent)
			}
		}
	})
}

func TestNilObserverIsNamed(t *testing.T) {
	if _, err := oncemore.New(oncemore.WithObserver(nil)); err == nil || !strings.Contains(err.Error(), "WithObserver(nil)") {
		t.Errorf("error %v, want one that names the option", err)
	}
}

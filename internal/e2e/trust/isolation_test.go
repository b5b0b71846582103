// Package trust shows how far a key reaches: to the duplicates of one call, and
// no further; and what it costs.
package trust

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/fixture"
)

func TestMain(m *testing.M) { bank.Main(m) }

// call is one of those that share a key and nothing else.
type call struct{ service, endpoint, caller string }

// TestIsolation: one key, two services that share a store, two endpoints of
// each, two callers of each. These are eight calls, and none meets another,
// however often each is repeated.
func TestIsolation(t *testing.T) {
	for _, kind := range bank.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			place := bank.Open(t, kind)
			for _, transport := range fixture.Transports() {
				t.Run(transport, func(t *testing.T) { isolation(t, place, transport) })
			}
		})
	}
}

func isolation(t *testing.T, place *bank.Place, transport string) {
	const duplicates = 6
	key := t.Name()
	fleets := make(map[string]*bank.Fleet)
	var calls []call
	for _, service := range []string{"bank-a", "bank-b"} {
		fleets[service] = bank.Start(t, place, transport, 2, bank.Config{Service: service, Callers: true})
		for _, endpoint := range []string{bank.EndpointPay, bank.EndpointDonate} {
			for _, caller := range []string{"alice", "bob"} {
				calls = append(calls, call{service, endpoint, caller})
			}
		}
	}
	var (
		mu       sync.Mutex
		receipts = make(map[call]string)
		group    sync.WaitGroup
	)
	for _, c := range calls {
		client := fleets[c.service].Client(t)
		for range duplicates {
			group.Go(func() {
				receipt, err := bank.Call(bank.WithCaller(t.Context(), c.caller), client, c.service, c.endpoint, key)
				mu.Lock()
				defer mu.Unlock()
				if first, ok := receipts[c]; err != nil || ok && first != receipt {
					t.Errorf("%v: %q, %v; another time %q", c, receipt, err, first)
				}
				receipts[c] = receipt
			})
		}
	}
	group.Wait()
	want := make([]string, 0, len(calls))
	for _, c := range calls {
		want = append(want, receipts[c])
	}
	got := place.Receipts(t, key)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("rows\n%q, answered\n%q", got, want)
	}
}

// TestStranger: who is not authenticated gets nothing, not even the answer of a
// key that was guessed.
func TestStranger(t *testing.T) {
	place := bank.Open(t, bank.Redis)
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			f := bank.Start(t, place, transport, 1, bank.Config{Callers: true})
			c, key := f.Client(t), t.Name()
			if _, err := bank.Pay(bank.WithCaller(t.Context(), "alice"), c, key); err != nil {
				t.Fatal(err)
			}
			receipt, err := bank.Pay(t.Context(), c, key)
			if err == nil || receipt != "" || merrors.FromError(err).Code != http.StatusUnauthorized {
				t.Errorf("a stranger was answered %q, %v; want 401", receipt, err)
			}
			if n := f.Director.Count(bank.Before, key); n != 1 {
				t.Errorf("%d executions", n)
			}
		})
	}
}

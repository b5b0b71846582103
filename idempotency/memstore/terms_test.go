package memstore

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// TestTermsAreNotMixedUp: claims of more endpoints than a shard remembers keep what
// is their own.
func TestTermsAreNotMixedUp(t *testing.T) {
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	claimed := make(map[idempotency.StoreKey]idempotency.Claim)
	for i := range 5 * recentTerms {
		for round := range 3 {
			scope := idempotency.Scope{Service: "bank", Endpoint: strconv.Itoa(i), Caller: "ann", Key: strconv.Itoa(round)}
			c := idempotency.Claim{
				Scope: scope, Instance: fmt.Sprint("instance ", round), Owner: idempotency.Owner{byte(i), byte(round)},
				Lease: time.Minute + time.Duration(i), Retention: time.Hour + time.Duration(round), ReleaseMemory: time.Minute,
			}
			c.Key[1], c.Key[2] = byte(i), byte(round) // all in one shard
			if out, err := s.Begin(t.Context(), c); err != nil || out.State != idempotency.Acquired {
				t.Fatalf("outcome %v, %v", out.State, err)
			}
			claimed[c.Key] = c
		}
	}
	for key, c := range claimed {
		e, err := s.Lookup(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if e.Scope != c.Scope || e.Instance != c.Instance {
			t.Errorf("scope %+v of instance %q, want %+v of %q", e.Scope, e.Instance, c.Scope, c.Instance)
		}
		if got := e.LeaseUntil.Sub(e.ClaimedAt); got != c.Lease {
			t.Errorf("lease %v, want %v", got, c.Lease)
		}
		if got := e.ExpiresAt.Sub(e.LeaseUntil); got != c.Retention {
			t.Errorf("retention %v, want %v", got, c.Retention)
		}
	}
}

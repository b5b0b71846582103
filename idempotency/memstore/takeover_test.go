package memstore

import (
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// TestTakeoverNeedsNoRoom: an orphan that is taken over stays, even if there are
// too many entries for a moment, because somebody else is being refused.
func TestTakeoverNeedsNoRoom(t *testing.T) {
	now := time.Now()
	s, err := New(WithMaxEntries(1), WithClock(func() time.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	claim := idempotency.Claim{
		Key: idempotency.Scope{Key: "k"}.StoreKey(), Owner: idempotency.Owner{1},
		Lease: time.Second, Retention: time.Hour, Takeover: true,
	}
	if out, err := s.Begin(t.Context(), claim); err != nil || out.State != idempotency.Acquired {
		t.Fatalf("outcome %v, %v", out.State, err)
	}
	now = now.Add(2 * time.Second)
	s.entries.Add(1) // the other, who is between its claim and its refusal
	defer s.entries.Add(-1)
	claim.Owner = idempotency.Owner{2}
	if out, err := s.Begin(t.Context(), claim); err != nil || !out.TakenOver {
		t.Fatalf("taken over %v, %v", out.TakenOver, err)
	}
	claim.Owner = idempotency.Owner{3}
	if out, err := s.Begin(t.Context(), claim); err != nil || out.State != idempotency.Running {
		t.Errorf("outcome %v, %v", out.State, err)
	}
}

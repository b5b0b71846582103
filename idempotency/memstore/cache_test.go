package memstore

import (
	"bytes"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

func TestCache(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s, err := New(WithClock(func() time.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	key := idempotency.Scope{Service: "bank", Endpoint: "Tip", Key: "k"}.StoreKey()
	if _, _, found, err := s.GetRecord(t.Context(), key); found || err != nil {
		t.Errorf("found %v, error %v, before anything was put", found, err)
	}
	fingerprint := idempotency.Fingerprint{1, 2}
	for _, record := range []string{"first", "second"} {
		if err := s.PutRecord(t.Context(), key, []byte(record), fingerprint, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	record, got, found, err := s.GetRecord(t.Context(), key)
	if !found || err != nil || !bytes.Equal(record, []byte("first")) || got != fingerprint {
		t.Errorf("record %q, fingerprint %v, found %v, error %v", record, got, found, err)
	}
	now = now.Add(time.Hour)
	if _, _, found, _ := s.GetRecord(t.Context(), key); found {
		t.Error("found beyond its retention")
	}
}

// TestCacheLeavesARunningClaimAlone: nobody's claim is ended by a cache.
func TestCacheLeavesARunningClaimAlone(t *testing.T) {
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	key := idempotency.Scope{Service: "bank", Endpoint: "Tip", Key: "k"}.StoreKey()
	out, err := s.Begin(t.Context(), idempotency.Claim{Key: key, Owner: idempotency.Owner{1}, Lease: time.Hour, Retention: time.Hour})
	if err != nil || out.State != idempotency.Acquired {
		t.Fatalf("outcome %v, error %v", out.State, err)
	}
	if err := s.PutRecord(t.Context(), key, []byte("r"), idempotency.Fingerprint{}, time.Hour); err != nil {
		t.Error(err)
	}
	if _, _, found, _ := s.GetRecord(t.Context(), key); found {
		t.Error("a running key has a record")
	}
	if err := out.Execution.Complete(t.Context(), []byte("mine")); err != nil {
		t.Error(err)
	}
}

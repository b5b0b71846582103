package redisstore

import (
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// TestCache uses a store as the front of another.
func TestCache(t *testing.T) {
	client := dial(t, servertest.StartRedis(t))
	s := newTestStore(t, client)
	key := newKey(t)
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
	if string(record) != "first" || got != fingerprint || !found || err != nil {
		t.Errorf("record %q, fingerprint %v, found %v, error %v", record, got, found, err)
	}
	if ttl := client.PTTL(t.Context(), s.name(key)).Val(); ttl <= 0 || ttl > time.Hour {
		t.Errorf("kept for %v", ttl)
	}
	if out := begin(t, s, newTestClaim(t, key)); out.State != idempotency.Done || string(out.Record) != "first" {
		t.Errorf("outcome %v with record %q", out.State, out.Record)
	}
}

// TestCacheLeavesARunningClaimAlone: nobody's claim is ended by a cache.
func TestCacheLeavesARunningClaimAlone(t *testing.T) {
	s := newTestStore(t, dial(t, servertest.StartRedis(t)))
	key := newKey(t)
	running := acquire(t, s, newTestClaim(t, key))
	if err := s.PutRecord(t.Context(), key, []byte("theirs"), idempotency.Fingerprint{}, time.Hour); err != nil {
		t.Error(err)
	}
	if _, _, found, err := s.GetRecord(t.Context(), key); found || err != nil {
		t.Errorf("a running key: found %v, error %v", found, err)
	}
	complete(t, running, "mine")
}

package redisstore

import (
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// TestFullServer: a server whose memory is full lets nothing new in, and takes the
// end of what it has let in before. It answers duplicates as ever.
func TestFullServer(t *testing.T) {
	server := servertest.StartRedis(t)
	client := dial(t, server)
	s := newTestStore(t, client)
	completed, released, running := newTestClaim(t, newKey(t)), newTestClaim(t, newKey(t)), newTestClaim(t, newKey(t))
	toComplete, toRelease, toRun := acquire(t, s, completed), acquire(t, s, released), acquire(t, s, running)
	id, err := s.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(t.Context(), newTestClaim(t, newKey(t))); err == nil || !isFull(err) {
		t.Errorf("a new claim: %v, want the server's refusal", err)
	}
	for range 2 { // the second time as after a lost answer
		complete(t, toComplete, "record")
		if err := toRelease.Release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	if err := toRun.Renew(t.Context()); err != nil {
		t.Errorf("renew: %v", err)
	}
	if out := begin(t, s, newTestClaim(t, completed.Key)); string(out.Record) != "record" {
		t.Errorf("a duplicate finds %v with record %q", out.State, out.Record)
	}
	if out := begin(t, s, newTestClaim(t, running.Key)); out.State != idempotency.Running {
		t.Errorf("a duplicate finds %v, want running", out.State)
	}
	wake, stop, err := s.Watch(t.Context(), running.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	complete(t, toRun, "record")
	select {
	case <-wake:
	case <-time.After(time.Minute):
		t.Error("who waits was not told")
	}
	if again, err := s.ID(t.Context()); err != nil || again != id {
		t.Errorf("identity %q, %v; want %q", again, err, id)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	acquire(t, s, newTestClaim(t, released.Key))
}

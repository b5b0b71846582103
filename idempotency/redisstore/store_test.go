package redisstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// TestHeader pins the layout, which the scripts know too.
func TestHeader(t *testing.T) {
	c := idempotency.Claim{
		Owner: idempotency.Owner{0xa0, 15: 0xaf}, Fingerprint: idempotency.Fingerprint{1, 32: 0xff},
		Attempt: 1<<40 + 2, Retention: 1500*time.Microsecond + 1,
	}
	v := newClaim(&c, 0)
	if v.state() != stateRunning || v.taken() || v.fence() != 1 || v.fingerprint() != c.Fingerprint || len(v.record()) != 0 {
		t.Errorf("value = %x, not what was claimed", []byte(v))
	}
	want := append([]byte{1, 'r', '0', '0', 0xa0, 19: 0xaf, 27: 1}, c.Fingerprint[:]...)
	want = append(want, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2)
	if !bytes.Equal(v, want) || len(want) != headerSize {
		t.Errorf("value = %x, want %x", []byte(v), want)
	}
	for _, text := range []string{"", string(v[:headerSize-1]), "\x02" + string(v[1:])} {
		if _, err := parseValue(text); !errors.Is(err, errValue) {
			t.Errorf("parse %q: %v, want %v", text, err, errValue)
		}
	}
}

// TestTakeoverInDetail shows what the header must carry over from one claim to
// the next, which the conformance suite cannot see.
func TestTakeoverInDetail(t *testing.T) {
	server := servertest.StartRedis(t)
	client := dial(t, server)
	s := newTestStore(t, client)
	first := newTestClaim(t, newKey(t))
	first.Lease = time.Millisecond
	lost := acquire(t, s, first)
	name := s.name(first.Key)
	if err := client.PExpire(t.Context(), name, first.Retention).Err(); err != nil { // the lease is over
		t.Fatal(err)
	}
	second := newTestClaim(t, first.Key)
	second.Takeover = true
	for range 2 { // the second time as if the answer had been lost
		out := begin(t, s, second)
		if out.State != idempotency.Acquired || !out.TakenOver || out.Fence != 2 {
			t.Fatalf("outcome = %+v, want taken over with fence 2", out)
		}
	}
	if err := lost.Complete(t.Context(), []byte("late")); !errors.Is(err, idempotency.ErrLost) {
		t.Errorf("late completion: %v, want %v", err, idempotency.ErrLost)
	}
	left, err := client.PTTL(t.Context(), name).Result()
	if err != nil || left <= first.Retention || left > second.Lease+second.Retention {
		t.Errorf("expires in %v, %v; want lease and retention", left, err)
	}
	if out := begin(t, s, newTestClaim(t, first.Key)); out.State != idempotency.Running {
		t.Errorf("state = %v, want running", out.State)
	}
}

func TestFenceOutlivesRelease(t *testing.T) {
	s := newTestStore(t, dial(t, servertest.StartRedis(t)))
	c := newTestClaim(t, newKey(t))
	for want := uint64(1); want < 4; want++ {
		out := begin(t, s, c)
		if out.Fence != want || out.TakenOver {
			t.Fatalf("outcome = %+v, want fence %d", out, want)
		}
		if err := out.Execution.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestForeignValue(t *testing.T) {
	client := dial(t, servertest.StartRedis(t))
	s := newTestStore(t, client)
	for name, put := range map[string]func(key string) error{
		"another version": func(key string) error {
			return client.Set(t.Context(), key, append([]byte{2}, make([]byte, headerSize)...), 0).Err()
		},
		"too short": func(key string) error { return client.Set(t.Context(), key, "\x01r", 0).Err() },
		"a hash":    func(key string) error { return client.HSet(t.Context(), key, "a", "b").Err() },
	} {
		c := newTestClaim(t, newKey(t))
		if err := put(s.name(c.Key)); err != nil {
			t.Fatal(err)
		}
		if out, err := s.Begin(t.Context(), c); !errors.Is(err, idempotency.ErrNotApplied) {
			t.Errorf("%s: %+v, %v; want an error that nothing was applied", name, out, err)
		}
	}
}

func TestIDBelongsToTheMemory(t *testing.T) {
	server := servertest.StartRedis(t)
	client := dial(t, server)
	a, b, other := newTestStore(t, client), newTestStore(t, dial(t, server)), newTestStore(t, client, WithPrefix("other:"))
	id := func(s *Store) string {
		t.Helper()
		id, err := s.ID(t.Context())
		if err != nil || len(id) != 32 {
			t.Fatalf("id = %q, %v", id, err)
		}
		return id
	}
	first := id(a)
	if id(a) != first || id(b) != first {
		t.Error("one memory has two identities")
	}
	if id(other) == first {
		t.Error("two prefixes have one identity")
	}
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if id(a) == first {
		t.Error("the identity is the same after everything was forgotten")
	}
}

// TestScriptsAreLoadedAgain also runs a record of a megabyte, whose bytes look
// like everything that scripts could trip over.
func TestScriptsAreLoadedAgain(t *testing.T) {
	client := dial(t, servertest.StartRedis(t))
	s := newTestStore(t, client)
	record := make([]byte, 1<<20)
	for i := range record {
		record[i] = byte(i * 7)
	}
	binary.BigEndian.PutUint32(record, 0)
	c := newTestClaim(t, newKey(t))
	e := acquire(t, s, c)
	if err := client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := e.Complete(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if out := begin(t, s, newTestClaim(t, c.Key)); out.State != idempotency.Done || !bytes.Equal(out.Record, record) {
		t.Errorf("state = %v with %d bytes, want the record", out.State, len(out.Record))
	}
}

func TestUseAfterClose(t *testing.T) {
	s, err := Open(t.Context(), servertest.StartRedis(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Watch(t.Context(), newKey(t)); err == nil {
		t.Error("a closed store watches")
	}
	if _, err := s.Begin(t.Context(), newTestClaim(t, newKey(t))); !errors.Is(err, redis.ErrClosed) || !errors.Is(err, idempotency.ErrNotApplied) {
		t.Errorf("begin = %v, want %v", err, redis.ErrClosed)
	}
}

func TestCanceledContextChangesNothing(t *testing.T) {
	s := newTestStore(t, dial(t, servertest.StartRedis(t)))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	c := newTestClaim(t, newKey(t))
	if _, err := s.Begin(canceled, c); !errors.Is(err, context.Canceled) || !errors.Is(err, idempotency.ErrNotApplied) {
		t.Errorf("begin = %v, want canceled and not applied", err)
	}
	e := acquire(t, s, newTestClaim(t, c.Key)) // by another owner
	for verb, do := range map[string]func() error{
		"renew":    func() error { return e.Renew(canceled) },
		"complete": func() error { return e.Complete(canceled, nil) },
		"release":  func() error { return e.Release(canceled) },
	} {
		if err := do(); !errors.Is(err, context.Canceled) || !errors.Is(err, idempotency.ErrNotApplied) {
			t.Errorf("%s = %v, want canceled and not applied", verb, err)
		}
	}
	if out := begin(t, s, c); out.State != idempotency.Running {
		t.Errorf("state = %v, want running", out.State)
	}
}

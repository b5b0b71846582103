package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Harness is a store under test. Only Store is required.
type Harness struct {
	// Store is on a memory of its own.
	Store idempotency.Store
	// Other is on the same memory, through connections of its own, as another
	// process would have it. Default Store.
	Other idempotency.Store
	// Stranger is on another memory of the same kind, to compare identities.
	Stranger idempotency.Store
	// Skewed returns a handle on the memory of Store for a host whose clock is
	// off by d, see [Skew]. Nil if the store has no clock but its host's.
	Skewed func(t *testing.T, d time.Duration) idempotency.Store
	// OneWriter says that a transactional store has one transaction at a time,
	// whatever the key.
	OneWriter bool
	// Unsorted says that the store does not list its entries in the order of
	// their claims.
	Unsorted bool
	// Tick is the lease that is tested with: longer than the slowest operation
	// of the store under load. Default 300 ms.
	Tick time.Duration
	// Sleep lets time pass on the store's clock. Default time.Sleep.
	Sleep func(d time.Duration)
	// Write does one business write, in the transaction of ctx if the store is
	// transactional. Nil if there is nothing to write to. A transactional store
	// needs it.
	Write func(ctx context.Context) error
	// Writes returns how many writes have lasted so far. Required with Write.
	Writes func(ctx context.Context) (int, error)
}

// Factory makes the harness of one run of the suite. What it opens it closes
// with t.Cleanup.
type Factory func(t *testing.T) Harness

// Run checks that a store keeps the contract of [idempotency.Store], alone and
// under an [idempotency.Guard].
func Run(t *testing.T, factory Factory) {
	s := newSuite(t, factory(t))
	t.Run("Contract", func(t *testing.T) { s.runAll(t, s.contractCases()) })
	if s.transactional {
		t.Run("Transaction", func(t *testing.T) { s.runAll(t, s.transactionCases()) })
	} else {
		t.Run("Lease", func(t *testing.T) { s.runAll(t, s.leaseCases()) })
	}
	here, inspects := s.Store.(idempotency.Inspector)
	there, elsewhere := s.Other.(idempotency.Inspector)
	if inspects && elsewhere {
		t.Run("Inspect", func(t *testing.T) { s.runAll(t, s.inspectCases(here, there)) })
	}
	t.Run("Guard", func(t *testing.T) { s.runAll(t, s.guardCases()) })
	t.Run("Fault", func(t *testing.T) { s.runAll(t, s.faultCases()) })
}

// testCase is one named check.
type testCase struct {
	name string
	run  func(t *testing.T)
}

type suite struct {
	Harness
	transactional bool
	keys          atomic.Int64
	owners        atomic.Int64
}

func newSuite(t *testing.T, h Harness) *suite {
	t.Helper()
	if h.Store == nil {
		t.Fatal("storetest: Harness.Store is nil")
	}
	if h.Other == nil {
		h.Other = h.Store
	}
	if h.Tick <= 0 {
		h.Tick = 300 * time.Millisecond
	}
	if h.Sleep == nil {
		h.Sleep = time.Sleep
	}
	if (h.Write == nil) != (h.Writes == nil) {
		t.Fatal("storetest: Harness.Write and Harness.Writes go together")
	}
	s := &suite{Harness: h}
	out := s.acquire(t, h.Store, s.newClaim(t))
	s.transactional = out.Transactional
	if err := out.Execution.Release(t.Context()); err != nil {
		t.Fatalf("release: %v", err)
	}
	if s.transactional && h.Write == nil {
		t.Fatal("storetest: a transactional store needs Harness.Write")
	}
	return s
}

func (s *suite) runAll(t *testing.T, cases []testCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, c.run)
	}
}

// newKey returns a key that nothing else uses.
func (s *suite) newKey(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256([]byte(t.Name()))
	return fmt.Sprintf("%x-%d", sum[:4], s.keys.Add(1))
}

// newClaim claims a new key.
func (s *suite) newClaim(t *testing.T) idempotency.Claim {
	t.Helper()
	return s.claimOf(idempotency.Scope{Service: "storetest", Key: s.newKey(t)}.StoreKey())
}

// claimOf claims a key for a new owner.
func (s *suite) claimOf(key idempotency.StoreKey) idempotency.Claim {
	return idempotency.Claim{
		Key: key, Owner: s.newOwner(), Fingerprint: fingerprint("body"), Lease: s.Tick,
		Timeout: time.Minute, Retention: time.Hour, ReleaseMemory: time.Hour,
	}
}

func (s *suite) newOwner() idempotency.Owner {
	sum := sha256.Sum256(fmt.Append(nil, "owner", s.owners.Add(1), time.Now().UnixNano()))
	return idempotency.Owner(sum[:16])
}

func fingerprint(body string) idempotency.Fingerprint {
	f, err := idempotency.FingerprintOf(body)
	if err != nil {
		panic(err) // a string has a fingerprint
	}
	return f
}

// cleanupTime bounds what a test does after its own context has ended.
const cleanupTime = 10 * time.Second

// begin asks the store, and gives up what it acquires at the end of the test.
func (s *suite) begin(t *testing.T, store idempotency.Store, c idempotency.Claim) idempotency.Outcome {
	t.Helper()
	out, err := store.Begin(t.Context(), c)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	if out.State == idempotency.Acquired {
		s.checkAcquired(t, out)
	}
	return out
}

func (s *suite) checkAcquired(t *testing.T, out idempotency.Outcome) {
	t.Helper()
	if out.Execution == nil || out.Fence < 1 {
		t.Fatalf("acquired without an execution or a fence: %+v", out)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
		defer cancel()
		if err := out.Execution.Release(ctx); err != nil && !errors.Is(err, idempotency.ErrLost) {
			t.Logf("clean up: %v", err)
		}
	})
}

func (s *suite) acquire(t *testing.T, store idempotency.Store, c idempotency.Claim) idempotency.Outcome {
	t.Helper()
	out := s.begin(t, store, c)
	wantState(t, out, idempotency.Acquired)
	return out
}

// write does the business write of an execution, if there is one to do.
func (s *suite) write(ctx context.Context, t *testing.T) {
	t.Helper()
	if s.Write == nil {
		return
	}
	if err := s.Write(ctx); err != nil {
		t.Errorf("business write: %v", err)
	}
}

// complete finishes an execution as a handler would.
func (s *suite) complete(t *testing.T, out idempotency.Outcome, record string) {
	t.Helper()
	s.write(out.Execution.Context(t.Context()), t)
	if err := out.Execution.Complete(t.Context(), []byte(record)); err != nil {
		t.Fatalf("complete: %v", err)
	}
}

func wantState(t *testing.T, out idempotency.Outcome, want idempotency.State) {
	t.Helper()
	if out.State != want {
		t.Fatalf("outcome %v, want %v", out.State, want)
	}
}

func wantDone(t *testing.T, out idempotency.Outcome, record string) {
	t.Helper()
	wantState(t, out, idempotency.Done)
	if string(out.Record) != record {
		t.Fatalf("record %q, want %q", out.Record, record)
	}
	if out.Fingerprint != fingerprint("body") {
		t.Errorf("fingerprint %v", out.Fingerprint)
	}
}

// wantLost checks that an operation was refused to an owner that is none.
func wantLost(t *testing.T, name string, err error) {
	t.Helper()
	if !errors.Is(err, idempotency.ErrLost) {
		t.Errorf("%s: %v, want ErrLost", name, err)
	}
}

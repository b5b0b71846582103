package storetest

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// inspectCases are for stores that show operators what they hold. here and there
// are handles on one memory, as Harness.Store and Harness.Other.
func (s *suite) inspectCases(here, there idempotency.Inspector) []testCase {
	x := &inspection{suite: s, here: here, there: there}
	cases := []testCase{
		{"LookupAbsent", x.lookupAbsent},
		{"LookupRunning", x.lookupRunning},
		{"LookupDone", x.lookupDone},
		{"LookupReleased", x.lookupReleased},
		{"LookupHash", x.lookupHash},
		{"ListFilters", x.listFilters},
		{"ListInOrder", x.listInOrder},
		{"ListStops", x.listStops},
		{"ResolveAbsent", x.resolveAbsent},
		{"ResolveDone", x.resolveDone},
		{"ResolveReleased", x.resolveReleased},
		{"ResolveWithoutMemory", x.resolveWithoutMemory},
		{"ResolveSeenTwice", x.resolveSeenTwice},
		{"OneOfManyResolutions", x.oneOfMany},
		{"ResolutionExpires", x.resolutionExpires},
		{"ResolveLive", x.resolveLive},
	}
	if s.transactional {
		return cases
	}
	cases = append(
		cases,
		testCase{"LookupOrphaned", x.lookupOrphaned},
		testCase{"ResolveOrphanDone", x.resolveOrphanDone},
		testCase{"ResolveOrphanReleased", x.resolveOrphanReleased},
		testCase{"ResolveByForce", x.resolveByForce},
		testCase{"ResolveWhatChanged", x.resolveWhatChanged},
	)
	if watcher, ok := s.Other.(idempotency.Watcher); ok {
		cases = append(cases, testCase{"ResolveWakes", func(t *testing.T) { x.resolveWakes(t, watcher) }})
	}
	return cases
}

type inspection struct {
	*suite
	here, there idempotency.Inspector
}

// instance is the name under which the suite claims.
const instance = "storetest:1"

// scoped claims a new key, and says what it is the hash of.
func (x *inspection) scoped(t *testing.T) idempotency.Claim {
	t.Helper()
	scope := idempotency.Scope{Service: "storetest", Endpoint: "Wallet.Tip", Caller: "bob", Key: x.newKey(t)}
	c := x.claimOf(scope.StoreKey())
	c.Scope, c.Instance = scope, instance
	return c
}

func (x *inspection) lookup(t *testing.T, key idempotency.StoreKey) idempotency.Entry {
	t.Helper()
	e, err := x.there.Lookup(t.Context(), key)
	if err != nil {
		t.Fatalf("lookup: %v", err)
	}
	if e.Key != key {
		t.Errorf("key %v, want %v", e.Key, key)
	}
	return e
}

func (x *inspection) wantEntry(t *testing.T, key idempotency.StoreKey, want idempotency.State) idempotency.Entry {
	t.Helper()
	e := x.lookup(t, key)
	if e.State != want {
		t.Fatalf("the key is %v, want %v", e.State, want)
	}
	return e
}

// wantShown checks what an entry shows of its claim.
func (x *inspection) wantShown(t *testing.T, e idempotency.Entry, c idempotency.Claim, fence uint64) {
	t.Helper()
	if e.Scope != c.Scope {
		t.Errorf("scope %+v, want %+v", e.Scope, c.Scope)
	}
	if e.Instance != c.Instance {
		t.Errorf("instance %q, want %q", e.Instance, c.Instance)
	}
	if e.Owner != c.Owner {
		t.Errorf("owner %v, want %v", e.Owner, c.Owner)
	}
	if e.Fence != fence {
		t.Errorf("fence %d, want %d", e.Fence, fence)
	}
	if e.Attempt != c.Attempt {
		t.Errorf("attempt %d, want %d", e.Attempt, c.Attempt)
	}
	if e.ClaimedAt.IsZero() {
		t.Error("nobody knows when it was claimed")
	}
	if !e.ExpiresAt.After(e.ClaimedAt) {
		t.Errorf("claimed at %v, expires at %v, which is not later", e.ClaimedAt, e.ExpiresAt)
	}
}

func (x *inspection) lookupAbsent(t *testing.T) {
	claim := x.scoped(t)
	e := x.wantEntry(t, claim.Key, idempotency.Absent)
	if e.Seen() != (idempotency.Seen{State: idempotency.Absent}) {
		t.Errorf("seen %+v of an absent key", e.Seen())
	}
	out := x.acquire(t, x.Store, claim) // the look-up has claimed nothing
	if out.Fence != 1 {
		t.Errorf("fence %d, want 1", out.Fence)
	}
}

// lookupRunning: a claim shows, also one whose transaction has not committed, and
// looking does not get in its way.
func (x *inspection) lookupRunning(t *testing.T) {
	claim := x.scoped(t)
	claim.Attempt, claim.Lease = 7, time.Minute
	out := x.acquire(t, x.Store, claim)
	e := x.wantEntry(t, claim.Key, idempotency.Running)
	if !x.transactional {
		x.wantShown(t, e, claim, out.Fence)
		if e.Fingerprint != claim.Fingerprint {
			t.Errorf("fingerprint %v, want %v", e.Fingerprint, claim.Fingerprint)
		}
		if got := e.LeaseUntil.Sub(e.ClaimedAt); got < claim.Lease-time.Second || got > claim.Lease+time.Second {
			t.Errorf("the lease lasts %v, want %v", got, claim.Lease)
		}
		if !e.EndedAt.IsZero() {
			t.Errorf("it runs, and ended at %v", e.EndedAt)
		}
	}
	x.complete(t, out, "first")
}

func (x *inspection) lookupDone(t *testing.T) {
	claim := x.scoped(t)
	claim.Attempt = 7
	out := x.acquire(t, x.Store, claim)
	x.complete(t, out, "first")
	e := x.wantEntry(t, claim.Key, idempotency.Done)
	x.wantShown(t, e, claim, out.Fence)
	if string(e.Record) != "first" {
		t.Errorf("record %q, want %q", e.Record, "first")
	}
	if e.Fingerprint != claim.Fingerprint {
		t.Errorf("fingerprint %v, want %v", e.Fingerprint, claim.Fingerprint)
	}
	if e.EndedAt.Before(e.ClaimedAt) {
		t.Errorf("ended at %v, before it was claimed at %v", e.EndedAt, e.ClaimedAt)
	}
	if got := e.ExpiresAt.Sub(e.EndedAt); got < claim.Retention-time.Second || got > claim.Retention+time.Second {
		t.Errorf("kept for %v, want %v", got, claim.Retention)
	}
}

func (x *inspection) lookupReleased(t *testing.T) {
	claim := x.scoped(t)
	claim.Attempt = 7
	out := x.release(t, claim)
	e := x.wantEntry(t, claim.Key, idempotency.Released)
	x.wantShown(t, e, claim, out.Fence)
	if e.Record != nil {
		t.Errorf("record %q of a released key", e.Record)
	}
	if e.EndedAt.Before(e.ClaimedAt) {
		t.Errorf("ended at %v, before it was claimed at %v", e.EndedAt, e.ClaimedAt)
	}
	if got := e.ExpiresAt.Sub(e.EndedAt); got < claim.ReleaseMemory-time.Second || got > claim.ReleaseMemory+time.Second {
		t.Errorf("remembered for %v, want %v", got, claim.ReleaseMemory)
	}
	next := x.acquire(t, x.Store, x.claimAgain(claim)) // the look-up has changed nothing
	if next.Fence != out.Fence+1 {
		t.Errorf("fence %d, want %d", next.Fence, out.Fence+1)
	}
}

// claimAgain is a claim of the same key by a new owner, sent at the same time.
func (x *inspection) claimAgain(c idempotency.Claim) idempotency.Claim {
	again := x.claimOf(c.Key)
	again.Scope, again.Instance, again.Attempt = c.Scope, c.Instance, c.Attempt
	return again
}

// lookupHash: who wants the hash only gets no more than that.
func (x *inspection) lookupHash(t *testing.T) {
	claim := x.scoped(t)
	claim.Scope = idempotency.Scope{}
	out := x.acquire(t, x.Store, claim)
	x.complete(t, out, "first")
	x.wantShown(t, x.wantEntry(t, claim.Key, idempotency.Done), claim, out.Fence)
}

func (x *inspection) lookupOrphaned(t *testing.T) {
	claim := x.scoped(t)
	out := x.acquire(t, x.Store, claim)
	x.Sleep(2 * x.Tick)
	e := x.wantEntry(t, claim.Key, idempotency.Orphaned)
	x.wantShown(t, e, claim, out.Fence)
	if !e.LeaseUntil.After(e.ClaimedAt) || !e.ExpiresAt.After(e.LeaseUntil) {
		t.Errorf("claimed at %v, lease until %v, expires at %v: not in this order", e.ClaimedAt, e.LeaseUntil, e.ExpiresAt)
	}
}

// list returns the keys that a filter selects, within the service of one test.
func (x *inspection) list(t *testing.T, f idempotency.Filter) []string {
	t.Helper()
	var keys []string
	for e, err := range x.there.List(t.Context(), f) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if e.Record != nil {
			t.Errorf("the list has a record of %d bytes", len(e.Record))
		}
		if e.Scope.StoreKey() != e.Key {
			t.Errorf("scope %+v is not that of key %v", e.Scope, e.Key)
		}
		keys = append(keys, e.Scope.Key)
	}
	return keys
}

func wantKeys(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: keys %q, want %q", what, got, want)
	}
}

// held makes an entry of each state under one service that nothing else uses.
func (x *inspection) held(t *testing.T) (service string) {
	t.Helper()
	service = x.newKey(t)
	claim := func(key, endpoint, caller string) idempotency.Claim {
		scope := idempotency.Scope{Service: service, Endpoint: endpoint, Caller: caller, Key: key}
		c := x.claimOf(scope.StoreKey())
		c.Scope, c.Instance = scope, instance
		return c
	}
	x.complete(t, x.acquire(t, x.Store, claim("done", "Wallet.Tip", "bob")), "first")
	x.complete(t, x.acquire(t, x.Store, claim("alice's", "Wallet.Tip", "alice")), "first")
	x.complete(t, x.acquire(t, x.Store, claim("order", "Order.Place", "bob")), "first")
	x.release(t, claim("released", "Wallet.Tip", "bob"))
	if !x.transactional {
		x.acquire(t, x.Store, claim("orphaned", "Wallet.Tip", "bob"))
		x.Sleep(2 * x.Tick)
		running := claim("running", "Wallet.Tip", "bob")
		running.Lease = time.Minute
		x.acquire(t, x.Store, running)
	}
	return service
}

func (x *inspection) listFilters(t *testing.T) {
	service := x.held(t)
	all := []string{"done", "alice's", "order", "released"}
	if !x.transactional {
		all = append(all, "orphaned", "running")
	}
	wantKeys(t, "all", x.list(t, idempotency.Filter{Service: service}), all...)
	wantKeys(t, "released", x.list(t, idempotency.Filter{
		Service: service, States: []idempotency.State{idempotency.Released},
	}), "released")
	wantKeys(t, "an endpoint", x.list(t, idempotency.Filter{Service: service, Endpoint: "Order.Place"}), "order")
	wantKeys(t, "a caller", x.list(t, idempotency.Filter{Service: service, Caller: "alice"}), "alice's")
	wantKeys(t, "a key", x.list(t, idempotency.Filter{Service: service, Key: "done"}), "done")
	wantKeys(t, "another service", x.list(t, idempotency.Filter{Service: service + "x"}))
	wantKeys(t, "of an hour ago", x.list(t, idempotency.Filter{Service: service, OlderThan: time.Hour}))
	if x.transactional {
		return
	}
	wantKeys(t, "stuck", x.list(t, idempotency.Filter{
		Service: service, States: []idempotency.State{idempotency.Running, idempotency.Orphaned},
	}), "running", "orphaned")
	wantKeys(t, "older than a lease", x.list(t, idempotency.Filter{
		Service: service, OlderThan: x.Tick, States: []idempotency.State{idempotency.Running, idempotency.Orphaned},
	}), "orphaned")
}

// listInOrder: an entry is listed once, with what a look-up shows, apart from the
// record.
func (x *inspection) listInOrder(t *testing.T) {
	service := x.held(t)
	var last time.Time
	seen := make(map[idempotency.StoreKey]bool)
	for e, err := range x.there.List(t.Context(), idempotency.Filter{Service: service}) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if seen[e.Key] {
			t.Errorf("%q is listed twice", e.Scope.Key)
		}
		seen[e.Key] = true
		if !x.Unsorted && e.ClaimedAt.Before(last) {
			t.Errorf("%q was claimed at %v, before the one listed before it", e.Scope.Key, e.ClaimedAt)
		}
		last = e.ClaimedAt
		looked := x.lookup(t, e.Key)
		if looked.Seen() != e.Seen() || looked.Scope != e.Scope || !looked.ExpiresAt.Equal(e.ExpiresAt) {
			t.Errorf("listed %+v, looked up %+v", e, looked)
		}
	}
	if len(seen) < 4 {
		t.Errorf("%d entries are listed, want at least 4", len(seen))
	}
}

func (x *inspection) listStops(t *testing.T) {
	service := x.held(t)
	if got := len(x.list(t, idempotency.Filter{Service: service, Limit: 2})); got != 2 {
		t.Errorf("%d entries within a limit of 2", got)
	}
	listed := 0
	for _, err := range x.there.List(t.Context(), idempotency.Filter{Service: service}) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if listed++; listed == 2 {
			break
		}
	}
	if listed != 2 {
		t.Errorf("%d entries before the break, want 2", listed)
	}
}

// resolution is that of an entry, for the record or for nil.
func (x *inspection) resolution(e idempotency.Entry, record []byte) idempotency.Resolution {
	return idempotency.Resolution{
		Key: e.Key, Seen: e.Seen(), Owner: x.newOwner(), Record: record,
		Retention: time.Hour, ReleaseMemory: time.Hour,
	}
}

func (x *inspection) resolve(t *testing.T, r idempotency.Resolution) {
	t.Helper()
	if err := x.there.Resolve(t.Context(), r); err != nil {
		t.Fatalf("resolve: %v", err)
	}
}

func (x *inspection) wantRefused(t *testing.T, r idempotency.Resolution, want error) {
	t.Helper()
	if err := x.there.Resolve(t.Context(), r); !errors.Is(err, want) {
		t.Errorf("resolve: %v, want %v", err, want)
	}
}

func (x *inspection) resolveAbsent(t *testing.T) {
	claim := x.scoped(t)
	for _, record := range [][]byte{nil, []byte("resolved")} {
		x.wantRefused(t, x.resolution(x.lookup(t, claim.Key), record), idempotency.ErrChanged)
	}
	x.wantEntry(t, claim.Key, idempotency.Absent)
}

// resolveDone: a record is replaced, or forgotten.
func (x *inspection) resolveDone(t *testing.T) {
	claim := x.scoped(t)
	first := x.acquire(t, x.Store, claim)
	x.complete(t, first, "first")
	x.resolve(t, x.resolution(x.lookup(t, claim.Key), []byte("resolved")))
	wantDone(t, x.begin(t, x.Store, x.claimAgain(claim)), "resolved")
	e := x.wantEntry(t, claim.Key, idempotency.Done)
	if e.Scope != claim.Scope || e.Instance != claim.Instance {
		t.Errorf("scope %+v and instance %q, want those of the claim", e.Scope, e.Instance)
	}
	x.resolve(t, x.resolution(e, nil))
	x.wantEntry(t, claim.Key, idempotency.Released)
	next := x.acquire(t, x.Store, x.claimAgain(claim))
	if next.Fence != first.Fence+1 {
		t.Errorf("fence %d, want %d", next.Fence, first.Fence+1)
	}
}

// resolveReleased: what was done by other means needs no execution.
func (x *inspection) resolveReleased(t *testing.T) {
	claim := x.scoped(t)
	x.release(t, claim)
	x.resolve(t, x.resolution(x.lookup(t, claim.Key), []byte("resolved")))
	wantDone(t, x.begin(t, x.Store, x.claimAgain(claim)), "resolved")
}

func (x *inspection) resolveWithoutMemory(t *testing.T) {
	claim := x.scoped(t)
	claim.Attempt = 7
	x.complete(t, x.acquire(t, x.Store, claim), "first")
	r := x.resolution(x.lookup(t, claim.Key), nil)
	r.ReleaseMemory = 0
	x.resolve(t, r)
	x.wantEntry(t, claim.Key, idempotency.Absent)
	again := x.claimAgain(claim)
	again.Attempt = 1
	x.acquire(t, x.Store, again)
}

// resolveSeenTwice: the second who saw the same is told so, the first may ask
// again.
func (x *inspection) resolveSeenTwice(t *testing.T) {
	claim := x.scoped(t)
	x.complete(t, x.acquire(t, x.Store, claim), "first")
	e := x.lookup(t, claim.Key)
	for _, record := range [][]byte{[]byte("resolved"), nil} {
		r := x.resolution(e, record)
		x.resolve(t, r)
		x.resolve(t, r) // the answer was lost
		x.wantRefused(t, x.resolution(e, []byte("too late")), idempotency.ErrChanged)
		x.wantRefused(t, x.resolution(e, nil), idempotency.ErrChanged)
		e = x.lookup(t, claim.Key)
	}
	x.wantEntry(t, claim.Key, idempotency.Released)
}

func (x *inspection) oneOfMany(t *testing.T) {
	claim := x.scoped(t)
	x.complete(t, x.acquire(t, x.Store, claim), "first")
	e := x.lookup(t, claim.Key)
	var resolved, changed atomic.Int32
	var group sync.WaitGroup
	for i := range 8 {
		r, by := x.resolution(e, []byte("resolved")), x.here
		if i%2 == 1 {
			by = x.there
		}
		group.Go(func() {
			switch err := by.Resolve(t.Context(), r); {
			case err == nil:
				resolved.Add(1)
			case errors.Is(err, idempotency.ErrChanged):
				changed.Add(1)
			default:
				t.Errorf("resolve: %v", err)
			}
		})
	}
	group.Wait()
	if resolved.Load() != 1 || changed.Load() != 7 {
		t.Errorf("%d resolved and %d found it changed, want 1 and 7", resolved.Load(), changed.Load())
	}
}

func (x *inspection) resolutionExpires(t *testing.T) {
	claim := x.scoped(t)
	claim.Attempt = 7
	x.complete(t, x.acquire(t, x.Store, claim), "first")
	r := x.resolution(x.lookup(t, claim.Key), []byte("resolved"))
	r.Retention = 3 * x.Tick
	x.resolve(t, r)
	x.Sleep(5 * x.Tick)
	x.wantEntry(t, claim.Key, idempotency.Absent)
	again := x.claimAgain(claim)
	x.complete(t, x.acquire(t, x.Store, again), "second")
	r = x.resolution(x.lookup(t, claim.Key), nil)
	r.ReleaseMemory = 3 * x.Tick
	x.resolve(t, r)
	x.Sleep(5 * x.Tick)
	again = x.claimAgain(claim)
	again.Attempt = 1
	x.acquire(t, x.Store, again)
}

// resolveLive: what runs is left to itself.
func (x *inspection) resolveLive(t *testing.T) {
	claim := x.scoped(t)
	claim.Lease = time.Minute
	out := x.acquire(t, x.Store, claim)
	e := x.wantEntry(t, claim.Key, idempotency.Running)
	for _, record := range [][]byte{nil, []byte("resolved")} {
		x.wantRefused(t, x.resolution(e, record), idempotency.ErrLive)
	}
	if x.transactional { // not by force either
		r := x.resolution(e, []byte("resolved"))
		r.Force = true
		x.wantRefused(t, r, idempotency.ErrLive)
	}
	x.complete(t, out, "first")
	wantDone(t, x.begin(t, x.Other, x.claimAgain(claim)), "first")
}

// shutOut checks that the owner of an execution cannot change anything any more.
func (x *inspection) shutOut(t *testing.T, old idempotency.Outcome) {
	t.Helper()
	wantLost(t, "renew", old.Execution.Renew(t.Context()))
	wantLost(t, "complete", old.Execution.Complete(t.Context(), []byte("late")))
	wantLost(t, "release", old.Execution.Release(t.Context()))
}

func (x *inspection) resolveByForce(t *testing.T) {
	for _, record := range [][]byte{nil, []byte("resolved")} {
		claim := x.scoped(t)
		claim.Lease = time.Minute
		out := x.acquire(t, x.Store, claim)
		r := x.resolution(x.lookup(t, claim.Key), record)
		r.Force = true
		x.resolve(t, r)
		x.shutOut(t, out)
		if again := x.begin(t, x.Store, x.claimAgain(claim)); record != nil {
			wantDone(t, again, "resolved")
		} else {
			wantState(t, again, idempotency.Acquired)
			x.shutOut(t, out)
		}
	}
}

func (x *inspection) orphanedScope(t *testing.T) (idempotency.Claim, idempotency.Outcome) {
	t.Helper()
	claim := x.scoped(t)
	claim.Attempt = 7
	out := x.acquire(t, x.Store, claim)
	x.Sleep(2 * x.Tick)
	return claim, out
}

func (x *inspection) resolveOrphanDone(t *testing.T) {
	claim, out := x.orphanedScope(t)
	x.resolve(t, x.resolution(x.wantEntry(t, claim.Key, idempotency.Orphaned), []byte("resolved")))
	x.shutOut(t, out)
	other := x.claimAgain(claim)
	other.Fingerprint = fingerprint("other")
	wantDone(t, x.begin(t, x.Store, other), "resolved")
	x.wantShown(t, x.resolvedEntry(t, claim.Key, idempotency.Done), x.ownedBy(claim, idempotency.Owner{}), out.Fence)
}

// resolvedEntry is the entry of a resolved key, without whoever resolved it.
func (x *inspection) resolvedEntry(t *testing.T, key idempotency.StoreKey, want idempotency.State) idempotency.Entry {
	t.Helper()
	e := x.wantEntry(t, key, want)
	e.Owner = idempotency.Owner{}
	return e
}

func (x *inspection) ownedBy(c idempotency.Claim, owner idempotency.Owner) idempotency.Claim {
	c.Owner = owner
	return c
}

// resolveOrphanReleased: nothing was done, so that the key is free, except for
// attempts that were sent before.
func (x *inspection) resolveOrphanReleased(t *testing.T) {
	claim, out := x.orphanedScope(t)
	x.resolve(t, x.resolution(x.wantEntry(t, claim.Key, idempotency.Orphaned), nil))
	x.shutOut(t, out)
	x.wantShown(t, x.resolvedEntry(t, claim.Key, idempotency.Released), x.ownedBy(claim, idempotency.Owner{}), out.Fence)
	late := x.claimAgain(claim)
	late.Attempt--
	wantState(t, x.begin(t, x.Other, late), idempotency.Superseded)
	next := x.acquire(t, x.Other, x.claimAgain(claim))
	if next.TakenOver {
		t.Error("a released key was taken over")
	}
	if next.Fence != out.Fence+1 {
		t.Errorf("fence %d, want %d", next.Fence, out.Fence+1)
	}
	x.shutOut(t, out)
}

// resolveWhatChanged: between the look and the resolution the owner comes back, or
// ends, or is replaced.
func (x *inspection) resolveWhatChanged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, claim idempotency.Claim, out idempotency.Outcome)
		want   idempotency.State
	}{
		"renewed": {func(t *testing.T, _ idempotency.Claim, out idempotency.Outcome) {
			if err := out.Execution.Renew(t.Context()); err != nil {
				t.Errorf("renew: %v", err)
			}
		}, idempotency.Running},
		"completed": {func(t *testing.T, _ idempotency.Claim, out idempotency.Outcome) {
			x.complete(t, out, "late but first")
		}, idempotency.Done},
		"released": {func(t *testing.T, _ idempotency.Claim, out idempotency.Outcome) {
			if err := out.Execution.Release(t.Context()); err != nil {
				t.Errorf("release: %v", err)
			}
		}, idempotency.Released},
		"taken over": {func(t *testing.T, claim idempotency.Claim, _ idempotency.Outcome) {
			x.acquire(t, x.Store, x.taker(claim.Key))
		}, idempotency.Running},
	} {
		t.Run(name, func(t *testing.T) {
			claim := x.scoped(t)
			claim.Lease = 4 * x.Tick // time enough to be found running after a renewal
			out := x.acquire(t, x.Store, claim)
			x.Sleep(5 * x.Tick)
			e := x.wantEntry(t, claim.Key, idempotency.Orphaned)
			c.change(t, claim, out)
			for _, record := range [][]byte{nil, []byte("resolved")} {
				r := x.resolution(e, record)
				r.Force = true
				x.wantRefused(t, r, idempotency.ErrChanged)
			}
			x.wantEntry(t, claim.Key, c.want)
		})
	}
}

func (x *inspection) resolveWakes(t *testing.T, watcher idempotency.Watcher) {
	for name, record := range map[string][]byte{"done": []byte("resolved"), "released": nil} {
		t.Run(name, func(t *testing.T) {
			claim := x.scoped(t)
			claim.Lease = time.Minute
			x.acquire(t, x.Store, claim)
			wake, stop, err := watcher.Watch(t.Context(), claim.Key)
			if err != nil {
				t.Fatalf("watch: %v", err)
			}
			defer stop()
			r := x.resolution(x.lookup(t, claim.Key), record)
			r.Force = true
			x.resolve(t, r)
			select {
			case <-wake:
			case <-time.After(cleanupTime):
				t.Error("nobody was woken")
			}
		})
	}
}

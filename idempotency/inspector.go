package idempotency

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// Inspector is implemented by a [Store] that shows operators what it holds, and
// lets them settle what nobody else can. [Guard.Lookup], [Guard.Resolve] and
// [Guard.Forget] go by it. It is safe for concurrent use.
type Inspector interface {
	// Lookup returns what the store holds of a key, and changes nothing. Of a
	// key that it does not hold it returns an Entry whose State is Absent. Of
	// one that a transaction holds which has not committed it returns State
	// Running, and may not know anything else; where it cannot tell whether
	// there is one, it returns an error, never Absent.
	Lookup(ctx context.Context, key StoreKey) (Entry, error)

	// List yields the entries that f selects, without their records, in the order
	// of their claims where the store can sort (it documents where it cannot). It
	// shows no transaction that has not committed. An
	// entry that changes meanwhile is yielded as it was or as it is, or not at
	// all. It keeps no more than a page of entries in memory. An error is
	// yielded with a zero Entry, and ends the sequence.
	List(ctx context.Context, f Filter) iter.Seq2[Entry, error]

	// Resolve makes a key done, or free, in one step, if it is still as it was
	// seen: same owner, fence and state by the store's clock. Whoever owned it
	// is shut out from then on, and those who watch it are woken. The errors are
	//
	//	ErrChanged  the key is not, or no longer, as r.Seen says, or is absent
	//	ErrLive     it is running and its lease is good, and r.Force is not set,
	//	            or a transaction holds it, which nothing but its end can free
	//
	// and change nothing; any other leaves it open. Resolve also succeeds again
	// with the same r.Owner after it has succeeded, since its answer may have
	// been lost, unless it has left nothing behind. A store with a faster one in
	// front of it makes that forget the key.
	Resolve(ctx context.Context, r Resolution) error
}

// The errors of [Inspector.Resolve].
var (
	// ErrChanged: somebody was faster.
	ErrChanged = errors.New("idempotency: the key is no longer as it was seen; look it up again, and decide anew")
	// ErrLive: the execution may still end by itself.
	ErrLive = errors.New("idempotency: the key is running and its lease is good; wait for its end, or resolve it by force")
)

// Entry is what a [Store] holds of a key. Its times are those of the store's
// clock, in UTC; one that is not known is zero.
type Entry struct {
	Key StoreKey
	// Scope that Key is the hash of. Zero where only the hash is kept.
	Scope Scope
	// State is Running, Orphaned, Done, Released or Absent.
	State State
	// Owner of the last claim, or whoever resolved the key since.
	Owner Owner
	// Fence of the last claim.
	Fence uint64
	// Instance that made the last claim, see [WithInstance].
	Instance string
	// Attempt of the last claim, as in [Claim].
	Attempt int64
	// Fingerprint of the request.
	Fingerprint Fingerprint
	// ClaimedAt is when the last claim was made. A renewal does not move it.
	ClaimedAt time.Time
	// LeaseUntil is when the lease ends, or has ended, of a claim that is
	// Running or Orphaned.
	LeaseUntil time.Time
	// EndedAt is when the key became Done or Released.
	EndedAt time.Time
	// ExpiresAt is when the store may forget the entry, if nothing changes.
	ExpiresAt time.Time
	// Record is the answer, when Done; see [DecodeRecord]. List leaves it out.
	Record []byte
}

// Seen returns the version of the entry that [Inspector.Resolve] compares.
func (e Entry) Seen() Seen { return Seen{Owner: e.Owner, Fence: e.Fence, State: e.State} }

// Seen is a version of an [Entry]. It differs after every claim, end and
// resolution, and not after a renewal. It is comparable.
type Seen struct {
	Owner Owner
	Fence uint64
	State State
}

// Filter selects entries. The zero value selects all.
type Filter struct {
	// States to select; none for all.
	States []State
	// Service, Endpoint, Caller and Key are compared with the entry's Scope;
	// empty for any. An entry of which only the hash is kept has none of them.
	Service, Endpoint, Caller, Key string
	// OlderThan selects what was claimed at least so long ago, by the store's
	// clock. What was claimed nobody knows when is older than anything.
	OlderThan time.Duration
	// Limit is the greatest number of entries; 0 for no limit.
	Limit int
}

// Selects reports whether an entry is selected, apart from OlderThan and Limit.
func (f Filter) Selects(e *Entry) bool {
	return f.selectsState(e.State) && f.SelectsScope(e.Scope)
}

func (f Filter) selectsState(state State) bool {
	return len(f.States) == 0 || slices.Contains(f.States, state)
}

// SelectsScope reports whether the filter's parts of a scope are those of s.
func (f Filter) SelectsScope(s Scope) bool {
	return (f.Service == "" || f.Service == s.Service) && (f.Endpoint == "" || f.Endpoint == s.Endpoint) &&
		(f.Caller == "" || f.Caller == s.Caller) && (f.Key == "" || f.Key == s.Key)
}

// Resolution is what becomes of a key by [Inspector.Resolve].
type Resolution struct {
	Key StoreKey
	// Seen is the version of the entry that was looked at.
	Seen Seen
	// Owner owns the key from then on: a new token, and the same one when the
	// answer to a Resolve was lost.
	Owner Owner
	// Record makes the key Done, with this answer and the entry's fingerprint,
	// for the Retention. Nil makes it Released: free, with the fence and the
	// attempt of its last claim remembered for the ReleaseMemory (as after
	// [Execution].Release), or Absent if that is 0.
	Record        []byte
	Retention     time.Duration
	ReleaseMemory time.Duration
	// Force resolves a claim whose lease is good, too. Its handler may still be
	// at work: the store shuts it out, what it writes elsewhere only a fence can.
	Force bool
}

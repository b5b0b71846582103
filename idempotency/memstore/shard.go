package memstore

import (
	"sync"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// shardCount is a power of two that divides the 256 values of a key's byte.
const shardCount = 64

// shard is a part of the store under one lock.
type shard struct {
	mu      sync.Mutex
	entries map[idempotency.StoreKey]*entry
	order   [states]queue // by state, oldest first
	watches map[idempotency.StoreKey]map[chan struct{}]struct{}

	terms       [recentTerms]*terms // of late
	oldestTerms uint8               // which are replaced next
}

func (s *Store) shardOf(key idempotency.StoreKey) *shard {
	return &s.shards[int(key[0])%shardCount]
}

// wake tells those who watch the key. A watch that has been told and has not
// looked yet needs no second word.
func (at *shard) wake(key idempotency.StoreKey) {
	for watch := range at.watches[key] {
		select {
		case watch <- struct{}{}:
		default:
		}
	}
}

// queue is a list of entries, threaded through them.
type queue struct{ first, last *entry }

func (q *queue) push(e *entry) {
	e.before, e.behind = q.last, nil
	if q.last != nil {
		q.last.behind = e
	} else {
		q.first = e
	}
	q.last = e
}

func (q *queue) drop(e *entry) {
	if e.before != nil {
		e.before.behind = e.behind
	} else {
		q.first = e.behind
	}
	if e.behind != nil {
		e.behind.before = e.before
	} else {
		q.last = e.before
	}
	e.before, e.behind = nil, nil
}

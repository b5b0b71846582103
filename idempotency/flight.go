package idempotency

import "sync"

// flights lets the duplicates of one process wait in the process: per key one
// call, the leader, talks to the store, and the others follow it.
type flights struct {
	shards [64]struct {
		mu   sync.Mutex
		keys map[StoreKey]*flight
	}
}

// flight is one leader's dealing with one key. Its fields are guarded by the
// shard's lock, except that whoever has seen done closed may read the answer.
type flight struct {
	fingerprint Fingerprint
	done        chan struct{} // made when somebody follows; closed at the end
	settled     bool

	// The answer: a record, or an error that holds for all, or neither, and
	// then each follower asks for itself.
	record []byte
	err    error
}

// join returns the flight of a key, and whether it is the caller's own, which
// then leads.
func (t *flights) join(key StoreKey, own *flight) (f *flight, leads bool) {
	shard := &t.shards[key[0]%uint8(len(t.shards))]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if f = shard.keys[key]; f != nil {
		if f.done == nil {
			f.done = make(chan struct{})
			if f.settled {
				close(f.done)
			}
		}
		return f, false
	}
	if shard.keys == nil {
		shard.keys = make(map[StoreKey]*flight)
	}
	shard.keys[key] = own
	return own, true
}

// settle gives the followers their answer, once; keep leaves the flight in
// place for those who come later, until drop.
func (t *flights) settle(key StoreKey, f *flight, record []byte, err error, keep bool) {
	shard := &t.shards[key[0]%uint8(len(t.shards))]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if f.settled {
		return
	}
	f.settled, f.record, f.err = true, record, err
	if f.done != nil {
		close(f.done)
	}
	if !keep && shard.keys[key] == f {
		delete(shard.keys, key)
	}
}

// drop forgets a flight that was kept.
func (t *flights) drop(key StoreKey, f *flight) {
	shard := &t.shards[key[0]%uint8(len(t.shards))]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.keys[key] == f {
		delete(shard.keys, key)
	}
}

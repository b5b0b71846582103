package checkpoint

import (
	"encoding/gob"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience only ends tests that have failed.
const patience = 2 * time.Minute

// Visit is one arrival of a process at a point.
type Visit struct{ Process, Point, Key string }

// place is a point under a key.
type place struct{ point, key string }

// Director is the test's side. It is safe for concurrent use.
type Director struct {
	tb       testing.TB
	listener net.Listener
	group    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]struct{}
	visits  map[place][]Visit
	order   map[string][]Visit // by key
	holds   map[place][]*Hold
	scripts map[place]string
	waiters map[place][]waiter
}

// waiter waits for a number of visits.
type waiter struct {
	n       int
	reached chan struct{}
}

// Listen returns a director. It ends with the test, and lets go whoever is held.
func Listen(tb testing.TB) *Director {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("checkpoint: %v", err)
	}
	d := &Director{
		tb: tb, listener: listener, conns: make(map[net.Conn]struct{}),
		visits: make(map[place][]Visit), order: make(map[string][]Visit), holds: make(map[place][]*Hold), scripts: make(map[place]string),
		waiters: make(map[place][]waiter),
	}
	d.group.Go(d.accept)
	tb.Cleanup(d.close)
	return d
}

// Address is what processes dial.
func (d *Director) Address() string { return d.listener.Addr().String() }

// Script has everyone who comes to the point under the key told the verdict; an
// empty one ends that.
func (d *Director) Script(point, key, verdict string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.scripts[place{point, key}] = verdict
}

// Hold holds the next one who comes to the point under the key. Several holds of
// one place hold one visit each.
func (d *Director) Hold(point, key string) *Hold {
	h := &Hold{place: place{point, key}, arrived: make(chan struct{}), verdict: make(chan string, 1)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holds[h.place] = append(d.holds[h.place], h)
	return h
}

// Visits returns who has come to the point under the key, in that order.
func (d *Director) Visits(point, key string) []Visit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.visits[place{point, key}])
}

// MostBetween returns how many visits there were at the most, under the key, to
// the point from that had no visit to the point to yet: how many were between
// the two points at one time.
func (d *Director) MostBetween(from, to, key string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	most, between := 0, 0
	for _, v := range d.order[key] {
		switch v.Point {
		case from:
			between++
		case to:
			between--
		}
		most = max(most, between)
	}
	return most
}

// Count returns how many visits there were.
func (d *Director) Count(point, key string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.visits[place{point, key}])
}

// Reached returns a channel that is closed when there were n visits.
func (d *Director) Reached(point, key string, n int) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, reached := place{point, key}, make(chan struct{})
	if len(d.visits[at]) >= n {
		close(reached)
	} else {
		d.waiters[at] = append(d.waiters[at], waiter{n, reached})
	}
	return reached
}

// Await returns when there were n visits, or fails the test. It must be called
// from the test's goroutine.
func (d *Director) Await(tb testing.TB, point, key string, n int) {
	tb.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-d.Reached(point, key, n):
	case <-timer.C:
		tb.Fatalf("checkpoint: %d came to %q under %q in %v, not %d", d.Count(point, key), point, key, patience, n)
	}
}

func (d *Director) close() {
	d.mu.Lock()
	d.closed = true
	for _, holds := range d.holds {
		for _, h := range holds {
			h.Release("")
		}
	}
	for conn := range d.conns {
		_ = conn.Close() // its process may be gone already
	}
	d.mu.Unlock()
	if err := d.listener.Close(); err != nil {
		d.tb.Errorf("checkpoint: %v", err)
	}
	d.group.Wait()
}

func (d *Director) accept() {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return // closed
		}
		d.mu.Lock()
		if d.closed {
			_ = conn.Close() // nobody is there to answer
			d.mu.Unlock()
			return
		}
		d.conns[conn] = struct{}{}
		d.group.Go(func() { d.serve(conn) })
		d.mu.Unlock()
	}
}

// serve answers one process until it, or the test, ends.
func (d *Director) serve(conn net.Conn) {
	replies := replies{encoder: gob.NewEncoder(conn)}
	decoder := gob.NewDecoder(conn)
	var held sync.WaitGroup
	defer held.Wait()
	gone := make(chan struct{})
	defer close(gone)
	for {
		var q question
		if err := decoder.Decode(&q); err != nil {
			return
		}
		h, verdict := d.enter(q)
		if h == nil {
			replies.send(q.ID, verdict)
			continue
		}
		held.Go(func() {
			select {
			case verdict := <-h.verdict:
				replies.send(q.ID, verdict)
			case <-gone:
			}
		})
	}
}

// enter enters a visit, and returns who holds it, or what to say at once.
func (d *Director) enter(q question) (*Hold, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, visit := place{q.Point, q.Key}, Visit{q.Process, q.Point, q.Key}
	d.visits[at] = append(d.visits[at], visit)
	d.order[q.Key] = append(d.order[q.Key], visit)
	d.waiters[at] = slices.DeleteFunc(d.waiters[at], func(w waiter) bool {
		met := len(d.visits[at]) >= w.n
		if met {
			close(w.reached)
		}
		return met
	})
	if holds := d.holds[at]; len(holds) > 0 && !d.closed {
		h := holds[0]
		d.holds[at] = holds[1:]
		h.visit = visit
		close(h.arrived)
		return h, ""
	}
	return nil, d.scripts[at]
}

// replies writes the answers of one connection.
type replies struct {
	mu      sync.Mutex
	encoder *gob.Encoder
}

func (r *replies) send(id uint64, verdict string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.encoder.Encode(answer{ID: id, Verdict: verdict}) // a process that is dead does not mind
}

// Hold holds one visit.
type Hold struct {
	place   place
	visit   Visit         // set before arrived is closed
	arrived chan struct{} // closed when somebody is held
	verdict chan string
	once    sync.Once
}

// Wait returns when somebody is held, or fails the test. It must be called from
// the test's goroutine.
func (h *Hold) Wait(tb testing.TB) Visit {
	tb.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-h.arrived:
	case <-timer.C:
		tb.Fatalf("checkpoint: nobody came to %q under %q in %v", h.place.point, h.place.key, patience)
	}
	return h.visit
}

// Arrived is closed when somebody is held.
func (h *Hold) Arrived() <-chan struct{} { return h.arrived }

// Release lets the visitor go on, and tells it the verdict. Further calls do
// nothing.
func (h *Hold) Release(verdict string) { h.once.Do(func() { h.verdict <- verdict }) }

package breaker

import (
	"iter"
	"time"
)

// Ejection is one address whose circuit is open, for people on call and for
// metrics.
type Ejection struct {
	Address string
	// State is Open, or HalfOpen while a probe is under way or lost.
	State State
	// Since is when the circuit opened, NextProbe when the next sleep window
	// begins, both on the Set's clock.
	Since     time.Time
	NextProbe time.Time
	// Event is the latest evidence against the address.
	Event Event
	// Refused tells that refused dials alone keep the circuit open: nothing
	// listens there.
	Refused bool
}

// Ejected lists the addresses whose circuits are open, in no order, and nil
// when none is. Its cost grows with their number, and not with how many
// addresses there are. The list is the caller's own.
func (s *Set) Ejected() []Ejection {
	var ejected []Ejection
	for i := range s.shards {
		if sh := &s.shards[i]; sh.open.Load() > 0 {
			ejected = sh.appendEjected(ejected, &s.opts)
		}
	}
	return ejected
}

func (sh *shard) appendEjected(to []Ejection, o *Options) []Ejection {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for address, e := range sh.opened {
		to = append(to, Ejection{
			Address: address, State: e.state, Since: e.changed, NextProbe: e.nextProbe(o),
			Event: e.last, Refused: e.refused(o),
		})
	}
	return to
}

// OpenAddresses yields the addresses whose circuits are open, in no order, for
// whoever looks for one to probe. The loop may use the Set: no lock is held
// while it runs. It sees an address that opens or closes meanwhile, or not.
// The cost grows with the number of open circuits seen, and not with how many
// addresses there are.
func (s *Set) OpenAddresses() iter.Seq[string] {
	return func(yield func(string) bool) { s.VisitOpen(visitFunc(yield)) }
}

type visitFunc func(string) bool

// VisitOpen calls the function.
func (f visitFunc) VisitOpen(address string) (more bool) { return f(address) }

// VisitOpen is OpenAddresses for whoever must not allocate: it calls v with each
// address until that returns false.
func (s *Set) VisitOpen(v interface {
	VisitOpen(address string) (more bool)
}) {
	if !s.AnyOpen() {
		return
	}
	var few [16]string // spares the allocation where few are open
	for i := range s.shards {
		sh := &s.shards[i]
		if sh.open.Load() == 0 {
			continue
		}
		for _, address := range sh.appendOpen(few[:0]) {
			if !v.VisitOpen(address) {
				return
			}
		}
	}
}

func (sh *shard) appendOpen(to []string) []string {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for address := range sh.opened {
		to = append(to, address)
	}
	return to
}

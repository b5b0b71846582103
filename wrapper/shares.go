package wrapper

import (
	"sync"
	"time"
)

// shares tell the attempts of one client when they have had their share of their
// calls' time. Nearly all end long before, so that one timer serves them all: it
// is set to the earliest share, and fires in vain where that attempt has ended,
// since to set it anew for each call would cost more than the rest of the call. The
// zero value is ready, and safe for concurrent use.
type shares struct {
	mu      sync.Mutex
	timer   *time.Timer
	next    time.Time // when the timer fires; zero: it does not
	running []*attempt
}

// add has a expire at the given time.
func (s *shares) add(a *attempt, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.shareEnds, a.shareIndex = at, len(s.running)
	s.running = append(s.running, a)
	if s.next.IsZero() || at.Before(s.next) {
		s.set(at)
	}
}

// remove forgets a, if it is there.
func (s *shares) remove(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(a)
}

func (s *shares) forget(a *attempt) {
	i := a.shareIndex
	if i >= len(s.running) || s.running[i] != a {
		return
	}
	last := len(s.running) - 1
	s.running[i] = s.running[last]
	s.running[i].shareIndex = i
	s.running[last] = nil
	s.running = s.running[:last]
}

func (s *shares) set(at time.Time) {
	s.next = at
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(at), s.expire)
		return
	}
	s.timer.Reset(time.Until(at))
}

// expire ends the shares whose time has come, and sets the timer to the next.
func (s *shares) expire() {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = time.Time{}
	var earliest time.Time
	for i := 0; i < len(s.running); {
		a := s.running[i]
		if !a.shareEnds.After(now) {
			s.forget(a)
			a.expire()
			continue
		}
		if earliest.IsZero() || a.shareEnds.Before(earliest) {
			earliest = a.shareEnds
		}
		i++
	}
	if !earliest.IsZero() {
		s.set(earliest)
	}
}

// dueAfter is when the loop looks at the attempt next; zero: never.
func (a *attempt) dueAfter(now time.Time) (next time.Time) {
	for _, due := range [...]time.Time{a.late, a.dialEnds, a.hedgeAt} {
		if due.After(now) && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	return next
}

// after is when d is over; zero, where there is none.
func after(now time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return now.Add(d)
}

// isDue tells whether a time that is not zero has come.
func isDue(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

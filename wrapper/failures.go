package wrapper

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

const (
	// manyFailures is how many times in a row an endpoint must have failed, on every
	// instance, for a failure to be the endpoint's own: of one that fails half of its
	// calls, that is what one call in a million meets.
	manyFailures = 20
	// everyInstance is how many instances stand for all of them, where there are more.
	everyInstance = 8
	// failureMemory is how long failures in a row are remembered after the last.
	failureMemory = 10 * time.Second
)

// failures are those of an endpoint since its last answer. The zero value has seen
// none. It is safe for concurrent use.
type failures struct {
	inARow atomic.Int32 // written under mu

	mu        sync.Mutex
	last      time.Time
	addresses []string // which have failed, up to everyInstance of them
}

// addFailure notes that an instance has answered with a failure.
func (f *failures) addFailure(address string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.last) > failureMemory || f.inARow.Load() == 0 {
		f.inARow.Store(0)
		f.addresses = f.addresses[:0]
	}
	f.last = now
	f.inARow.Add(1)
	if len(f.addresses) < everyInstance && !slices.Contains(f.addresses, address) {
		f.addresses = append(f.addresses, address)
	}
}

// resetFailures notes that the endpoint has answered.
func (f *failures) resetFailures() {
	if f.inARow.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inARow.Store(0)
}

// failsOn tells whether the endpoint fails on whatever instance, of which there are
// so many, at least one.
func (f *failures) failsOn(instances int, now time.Time) bool {
	if f.inARow.Load() < manyFailures {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inARow.Load() >= manyFailures && now.Sub(f.last) <= failureMemory && len(f.addresses) >= min(instances, everyInstance)
}

// isFailure tells whether an attempt was answered with what another instance may
// answer otherwise.
func isFailure(class retryfunc.Class, err error) bool {
	return class == retryfunc.Internal || class == retryfunc.Application && retryfunc.FromGateway(err)
}

// failsEverywhere tells whether the endpoint has long answered nothing but failures,
// on every instance that is admitted. Then another attempt would only add to its load,
// and the first attempts of other calls are what finds out when that is over.
func (s *call) failsEverywhere() bool {
	if s.endpoint.inARow.Load() < manyFailures {
		return false
	}
	instances := s.admitted(everyInstance)
	return instances > 0 && s.endpoint.failsOn(instances, time.Now())
}

// admitted counts the instances that are, up to most.
func (s *call) admitted(most int) (count int) {
	for _, service := range s.nodes.Services() {
		for _, node := range service.Nodes {
			if count >= most {
				return count
			}
			if open, _ := s.client.breaker.Open(node.Address); !open {
				count++
			}
		}
	}
	return count
}

// failedForGood tells whether a call ended with a failure that it would have on other
// instances, too, so that whoever calls the handler that made it need not have the same
// found out elsewhere: a callee said so, or as many instances as may be tried have
// answered with a failure, or the endpoint answers nothing else and its budget is
// spent. What was not reached, not heard or refused says nothing: that may be this
// process's own trouble, and another's call be answered.
func (s *call) failedForGood(err error) bool {
	if mark, marked := retryfunc.ParseMark(err); marked && mark.NoRetry {
		return true
	}
	s.mu.Lock()
	failed, last := 0, entry{}
	for i := range s.attempts {
		if last = s.attempts[i]; last.failure {
			failed++
		}
	}
	s.mu.Unlock()
	switch {
	case last.noRetry:
		return true
	case !last.failure:
		return false
	case last.Reason == retryfunc.ReasonFailing:
		return true
	case last.Reason == retryfunc.ReasonAttempts:
		return failed > 1
	case last.Reason == retryfunc.ReasonBudget:
		return failed > 1 || s.failsEverywhere()
	default:
		return false
	}
}

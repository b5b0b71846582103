package wrapper

import (
	"sync"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// manyFailures is how many times in a row an endpoint must have failed, on more than
// one instance if there are more, for a failure to be the endpoint's own. At a coin's
// odds that happens once in a thousand calls.
const manyFailures = 10

// failures are those of an endpoint since its last answer. The zero value has seen
// none. It is safe for concurrent use.
type failures struct {
	mu      sync.Mutex
	count   int
	address string // of the first
	several bool   // others failed, too
}

// addFailure notes that an instance has answered with a failure.
func (f *failures) addFailure(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == 0 {
		f.address, f.several = address, false
	}
	f.count++
	f.several = f.several || f.address != address
}

// resetFailures notes that the endpoint has answered.
func (f *failures) resetFailures() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count = 0
}

// failsEverywhere tells whether the endpoint fails on whatever instance: alone says that
// there is only one.
func (f *failures) failsEverywhere(alone bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count >= manyFailures && (f.several || alone)
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
		if last = s.attempts[i]; last.Class == retryfunc.Internal {
			failed++
		}
	}
	s.mu.Unlock()
	switch {
	case last.noRetry:
		return true
	case last.Class != retryfunc.Internal:
		return false
	case last.Reason == retryfunc.ReasonAttempts, last.Reason == retryfunc.ReasonBudget && failed > 1:
		return failed > 1
	case last.Reason == retryfunc.ReasonBudget:
		return s.endpoint.failsEverywhere(s.alone())
	default:
		return false
	}
}

// alone tells whether the service has a single instance.
func (s *call) alone() bool {
	nodes := 0
	for _, service := range s.nodes.Services() {
		nodes += len(service.Nodes)
	}
	return nodes == 1
}

package wrapper

import (
	"sync"
	"sync/atomic"

	"github.com/oncemore-dev/oncemore/breaker"
)

// lateAnswers are those of attempts that were outrun, and could not be cancelled:
// they show that an instance is slow, and not frozen. The next call reports them,
// because it is callers' goroutines that the breaker's hooks run in. The zero value
// has none. It is safe for concurrent use.
type lateAnswers struct {
	some atomic.Bool
	mu   sync.Mutex
	list []outcome
}

// add keeps what a late answer shows of its instance, if it is one.
func (l *lateAnswers) add(o outcome) {
	if o.event != breaker.Success {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, o)
	l.some.Store(true)
}

// take hands them over.
func (l *lateAnswers) take() (list []outcome) {
	if !l.some.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	list, l.list = l.list, nil
	l.some.Store(false)
	return list
}

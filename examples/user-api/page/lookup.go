package page

import (
	"context"
	"sync"
	"time"
)

// patience is how many times as long as an answer took it is good for at least: what
// gets slow is asked less often.
const patience = 20

// lookup is what others say, asked again only when it has aged, however many browsers
// want to know. It is safe for concurrent use.
type lookup[T any] struct {
	maxAge  time.Duration
	timeout time.Duration

	mu    sync.Mutex
	until time.Time // the answer is good
	value T
	err   error
}

// get returns the answer, a little old perhaps. A caller that leaves spoils it for
// nobody: ask has the timeout alone.
func (l *lookup[T]) get(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := time.Now()
	if asked.Before(l.until) {
		return l.value, l.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.timeout)
	defer cancel()
	l.value, l.err = ask(ctx)
	l.until = time.Now().Add(max(l.maxAge, patience*time.Since(asked)))
	return l.value, l.err
}

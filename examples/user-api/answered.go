package main

import "sync"

// answered remembers which forms had their tip, the last of them, to tell a person who submits one again: go-micro's own transport does not say that an
// answer had been given before. Nothing else depends on it. The zero value knows of
// none. It is safe for concurrent use.
type answered struct {
	mu   sync.Mutex
	seen map[string]struct{} // by token
}

// mostAnswered is how many are remembered before all are forgotten.
const mostAnswered = 10_000

// before tells whether the form had its tip before, and remembers that it has it now.
func (a *answered) before(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, again := a.seen[token]; again {
		return true
	}
	if a.seen == nil || len(a.seen) >= mostAnswered {
		a.seen = make(map[string]struct{})
	}
	a.seen[token] = struct{}{}
	return false
}

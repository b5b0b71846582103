package wrapper

import (
	"context"
	"time"
)

// timeLimit is how long the attempt about to start may take, and whether that
// is shorter than what the call has left.
//
// Only an attempt whose timeout would be retried is cut: for any other, giving
// up early turns a slow answer into none.
func (s *call) timeLimit(ctx context.Context) (limit time.Duration, cut bool) {
	deadline, _ := ctx.Deadline() // go-micro has set one where the caller had not
	left := time.Until(deadline)
	if !s.terms.retryTimeout {
		return left, false
	}
	limit = s.asked.attemptTimeout
	if limit == 0 {
		limit = s.client.attemptTimeout
	}
	if limit == 0 {
		limit = left / time.Duration(s.attemptsLeft())
	}
	return min(limit, left), limit < left
}

// attemptsLeft counts the attempt about to start: it is at least 1.
func (s *call) attemptsLeft() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, s.limit()-s.charged)
}

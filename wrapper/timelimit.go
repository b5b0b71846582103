package wrapper

import (
	"cmp"
	"context"
	"time"

	"go-micro.dev/v4/client"
)

// timeLimit is how long the attempt about to start may take, and whether that
// is shorter than what the call has left.
//
// Only an attempt whose timeout would be retried is cut: for any other, giving
// up early turns a slow answer into none.
//
// go-micro has set a deadline where the caller had not, but another wrapper may
// have taken it away: the attempt then has the time of a whole call.
func (s *call) timeLimit(ctx context.Context, whole time.Duration) (limit time.Duration, cut bool) {
	left := cmp.Or(whole, client.DefaultRequestTimeout)
	if deadline, ok := ctx.Deadline(); ok {
		left = max(time.Until(deadline), 1) // 0 would mean that there is no limit
	}
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

package wrapper

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// longestWish bounds how long a server may have its caller wait.
const longestWish = 10 * time.Second

// pushback is what a server said beside its error.
type pushback struct {
	after   time.Duration
	noRetry bool
}

// learnPushback keeps what grpc's trailer says of the next attempt. It can be read
// only when the client has returned.
func (a *attempt) learnPushback(i int, d *dialing, returned bool) {
	if d == nil || d.over != overGRPC || !returned {
		return
	}
	var said pushback
	said.after, said.noRetry = retryfunc.ParsePushback(d.grpc.trailer.Get(retryfunc.TrailerPushback))
	s := a.call
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts[i].pushback = said
}

// clampWish bounds the wait that a server asked for, so that half of what the call has
// left is for the attempt itself.
func (s *call) clampWish(wish time.Duration) time.Duration {
	return min(wish, s.left()/2, longestWish)
}

// sayPushback tells callers that know grpc and no marks what the mark of an answer
// says. That one does not learn of it is no reason to fail the call.
func sayPushback(ctx context.Context, answer error) {
	if answer == nil || grpc.ServerTransportStreamFromContext(ctx) == nil {
		return
	}
	mark, marked := retryfunc.ParseMark(answer)
	if !marked {
		return
	}
	if value := retryfunc.FormatPushback(mark); value != "" {
		_ = grpc.SetTrailer(ctx, metadata.Pairs(retryfunc.TrailerPushback, value)) // see above
	}
}

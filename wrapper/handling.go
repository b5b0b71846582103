package wrapper

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/concurrency"
)

// handling is one request on its way through a server's wrappers, and the context of
// its handler, in which the handler's own calls find it. It is safe for concurrent use.
type handling struct {
	context.Context //nolint:containedctx // adds one value to another context

	described described            // the request
	limiter   *concurrency.Limiter // nil: no limit
	entered   bool                 // the limiter, at began
	began     time.Time
	deadline  time.Time // of its caller; zero: none
	release   context.CancelFunc

	mu     sync.Mutex
	given  ration  // what the handler's calls may use up
	failed []error // what its callees have failed with for good
}

type handlingKey struct{}

// newHandling bounds ctx by what the attempt has left.
func newHandling(ctx context.Context, given ration, limiter *concurrency.Limiter) *handling {
	h := &handling{Context: ctx, given: given, limiter: limiter}
	if given.known {
		h.deadline = time.Now().Add(given.time)
	}
	if earlier, ok := ctx.Deadline(); ok && (h.deadline.IsZero() || earlier.Before(h.deadline)) {
		h.deadline = earlier
	} else if given.known {
		h.Context, h.release = context.WithDeadline(ctx, h.deadline)
	}
	return h
}

// Value finds the handling itself.
func (h *handling) Value(key any) any {
	if key == (handlingKey{}) {
		return h
	}
	return h.Context.Value(key)
}

// handlingOf returns nil where ctx is not that of a wrapped server's handler.
func handlingOf(ctx context.Context) *handling {
	h, _ := ctx.Value(handlingKey{}).(*handling)
	return h
}

// end ends the handling when the handler has returned. On grpc its context ends, too; on
// mucp a context lasts until its deadline, for what the handler may have left running.
func (h *handling) end() {
	h.unlimit()
	if h.release != nil && grpc.ServerTransportStreamFromContext(h) != nil {
		h.release()
	}
}

// isTooLate tells whether the attempt's time was over when it came. Nobody waits for
// its answer, and its caller has said so.
func (h *handling) isTooLate() bool {
	return h.given.known && (h.given.time <= 0 || h.Err() != nil)
}

// ration is what a call of the handler may use up.
func (h *handling) ration() ration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.given
}

// unlimit lets the calls that are made from here on use up what calls may: they are
// made by an execution that all the attempts of the caller join, or after the caller
// has its answer.
func (h *handling) unlimit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.given.limited, h.given.path = false, 0
}

// enter asks the limiter for a place, once.
func (h *handling) enter() bool {
	if h.limiter == nil || h.entered {
		return true
	}
	h.entered = h.limiter.Enter()
	h.began = time.Now()
	return h.entered
}

// leave gives the place back, if there is one.
func (h *handling) leave() {
	if !h.entered {
		return
	}
	h.entered = false
	had := time.Duration(0)
	if !h.deadline.IsZero() {
		had = max(h.deadline.Sub(h.began), 1)
	}
	h.limiter.Leave(time.Since(h.began), had)
}

// mostFailed bounds what is remembered of a handler that goes on calling.
const mostFailed = 8

// fail notes that a call of the handler has failed for good.
func (h *handling) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.failed) < mostFailed {
		h.failed = append(h.failed, err)
	}
}

// isCalleeFailure tells whether the handler's error is that of a callee that has failed
// for good: the very same, or one that has its words. Another error of a handler may be
// its instance's own trouble.
func (h *handling) isCalleeFailure(err error) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, failed := range h.failed {
		if errors.Is(err, failed) || strings.Contains(err.Error(), failed.Error()) {
			return true
		}
		answer, callee := wireErrors{}.micro(err), wireErrors{}.micro(failed)
		if callee.Detail != "" && strings.Contains(answer.Detail, callee.Detail) {
			return true
		}
	}
	return false
}

// tellHandler tells the handler that has made the call, if one has, of a failure that
// its own caller need not have repeated.
func (s *call) tellHandler(err error) {
	if err == nil || s.streaming {
		return
	}
	if h := handlingOf(s.ctx); h != nil && s.failedForGood(err) {
		h.fail(err)
	}
}

// eventOfCancel is what a cancelled attempt shows of its node. A handler's own caller
// who has begun another attempt beside cancels when that one is answered first, and so
// tells of an instance that hangs here; any other only of itself.
func (s *call) eventOfCancel() breaker.Event {
	if s.spare.limited {
		return breaker.Outrun
	}
	return breaker.Ignored
}

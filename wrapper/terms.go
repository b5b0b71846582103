package wrapper

import (
	"context"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// terms are what holds for all attempts of one call. They are agreed when the
// first attempt has a node, because what the registry announces counts too.
type terms struct {
	safety       retryfunc.Safety
	key          idempotency.Key // zero: the call carries none
	done         func(ambiguous bool)
	minted       bool // for this call: its first attempt is sent when it was issued
	trusted      bool // the key is honoured wherever the call may go
	retryTimeout bool
}

// agree settles the terms, once. The error says why the call must not be sent
// at all. The call must be locked.
func (s *call) agree(ctx context.Context, req client.Request) error {
	if s.terms != nil || s.unsendable != nil {
		return s.unsendable
	}
	t := &s.space.terms
	*t = terms{safety: s.learnSafety(ctx, req)}
	if t.safety != retryfunc.SafetySafe && !s.streaming {
		if s.unsendable = s.takeKey(ctx, req, t); s.unsendable != nil {
			return s.unsendable
		}
		t.trusted = s.client.vouched || announceOneStore(s.nodes.Services())
	}
	t.retryTimeout = s.retriesTimeout(ctx, req, t)
	s.terms = t
	return nil
}

// takeKey gives the call its key, the same for all its attempts.
func (s *call) takeKey(ctx context.Context, req client.Request, t *terms) (err error) {
	_, own := idempotency.KeyFrom(ctx)
	_, within := idempotency.ExecutionFrom(ctx)
	t.minted = !own && !within
	t.key, t.done, err = idempotency.CallKey(ctx, req.Service(), req.Endpoint(), s.funcs.fingerprint, s.client.generate)
	s.client.warnUnordered(ctx, t.key)
	return err
}

func (s *call) fingerprint() (idempotency.Fingerprint, error) {
	return idempotency.FingerprintOf(s.req.Body())
}

// errTimeout is what a policy is shown when it is asked about a timeout that
// has not happened.
var errTimeout = merrors.Timeout("go.micro.client", "attempt timeout")

// retriesTimeout asks the policy, before anything was sent, whether an attempt
// that timed out would be retried.
func (s *call) retriesTimeout(ctx context.Context, req client.Request, t *terms) bool {
	if s.limit() == 1 {
		return false
	}
	if s.client.policy == nil && s.asked.retry == nil {
		return t.safety.Repeatable() || t.trusted // as retryfunc.Careful says, without the cost of asking
	}
	ctx = retryfunc.WithAttempt(ctx, &retryfunc.Attempt{
		Class: retryfunc.Timeout, Safety: t.safety, KeyTrusted: t.trusted,
	})
	retry, err := s.policy()(ctx, req, 0, errTimeout)
	return retry && err == nil
}

// carriedKey is the key that the call carries, or "". The call must be locked.
func (s *call) carriedKey() string {
	if s.terms == nil {
		return ""
	}
	return s.terms.key.Value
}

package wrapper

import (
	"context"
	"sync"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// call is the state of one logical call: what go-micro's loop, the strategy,
// the attempts and the policy need to know of each other.
//
// An attempt may outlive the call: go-micro returns when the caller's context
// ends, and never waits. Whatever an attempt touches is therefore guarded by mu,
// and an attempt that finds the call closed sends nothing and copies nothing.
type call struct {
	client    *retryClient
	ctx       context.Context //nolint:containedctx // the call's own, for as long as it runs
	req       client.Request
	opts      []client.CallOption
	asked     asked
	streaming bool

	nodes selectorx.Call
	inner selector.Strategy // chooses among the nodes, by this call's rules
	next  client.CallFunc   // what an attempt calls

	// building is the inner client's copy of the call options. It is valid
	// until the client has read from it how many retries it may make.
	building *client.CallOptions

	address string // where a stream goes whose caller gave addresses

	// delay and backoffErr go from a decision to the attempt that follows it.
	delay      time.Duration
	backoffErr error

	mu         sync.Mutex
	closed     bool
	alone      bool  // no wrapper or option of others has a hold on this state
	unsendable error // why no attempt may be made
	terms      *terms
	attempts   []attempt
	running    int // attempts that have begun and not ended
	charged    int // failed attempts that were sent, or may have been
	unsent     int // refused dials that were not free

	first try
	space space
	funcs funcs
}

// space is room that a call uses again, so that it need not allocate any.
type space struct {
	opts     [8]client.CallOption
	selects  [4]selector.SelectOption
	wrappers [4]client.CallWrapper
	attempts [DefaultAttempts]attempt
	terms    terms
}

// funcs are the call's methods as function values, made once per call state.
type funcs struct {
	apply       client.CallOption
	choose      selector.SelectOption
	pick        selector.Strategy
	wrap        client.CallWrapper
	attempt     client.CallFunc
	decide      client.RetryFunc
	wait        client.BackoffFunc
	fingerprint func() (idempotency.Fingerprint, error)
}

func newCall(c *retryClient) *call {
	s := &call{client: c}
	s.funcs = funcs{
		apply: s.apply, choose: s.choose, pick: s.pick, wrap: s.wrap,
		attempt: s.attempt, decide: s.decide, wait: s.wait, fingerprint: s.fingerprint,
	}
	return s
}

// open starts the call with the options its caller gave.
func (s *call) open(ctx context.Context, req client.Request, opts []client.CallOption) {
	s.ctx, s.req = ctx, req
	s.asked = askedBy(opts)
	s.opts = append(append(s.space.opts[:0], opts...), s.funcs.apply)
	s.attempts = s.space.attempts[:0]
	s.nodes.Init(s.client.balancer, s.limit() > 1)
}

// limit is how many attempts the call may make.
func (s *call) limit() int {
	if s.asked.attempts > 0 {
		return s.asked.attempts
	}
	return s.client.attempts
}

// apply puts the call's own parts into the options of the inner client. Other
// wrappers apply the options to a copy of theirs, so it may run more than once:
// the last one counts. It never appends to a slice it does not own.
func (s *call) apply(o *client.CallOptions) {
	if s.streaming {
		s.applyToStream(o)
		return
	}
	s.building = o
	s.alone = len(o.CallWrappers) == 0 && len(o.SelectOptions) == 0
	s.allowRetries(len(o.Address))
	o.Retry, o.Backoff = s.funcs.decide, s.funcs.wait
	o.SelectOptions = append(append(s.space.selects[:0], o.SelectOptions...), s.funcs.choose)
	o.CallWrappers = append(append(s.space.wrappers[:0], o.CallWrappers...), s.funcs.wrap)
}

// allowRetries lets go-micro's loop run as often as the policy could ever ask:
// every attempt, one refused dial per node, and as many again as attempts.
func (s *call) allowRetries(nodes int) {
	s.building.Retries = s.client.retries(2*s.limit() - 1 + nodes)
}

// choose wraps the strategy that the call would have used.
func (s *call) choose(o *selector.SelectOptions) {
	s.inner = s.nodes.Strategy(o.Strategy)
	o.Strategy = s.funcs.pick
}

func (s *call) pick(services []*registry.Service) selector.Next {
	if s.streaming {
		return s.beginOn(s.inner(services))
	}
	nodes := 0
	for _, service := range services {
		nodes += len(service.Nodes)
	}
	s.allowRetries(nodes)
	return s.inner(services)
}

func (s *call) wrap(next client.CallFunc) client.CallFunc {
	s.next = next
	return s.funcs.attempt
}

// close ends the call and gives what its caller gets. From here on no attempt
// is begun and no reply is copied.
func (s *call) close(err error) error {
	s.mu.Lock()
	s.closed = true
	s.abandonRunning()
	if err == nil {
		s.blameInternal()
	}
	s.endKey(err)
	story := s.tell(err)
	again := err == nil && s.reusable()
	s.mu.Unlock()
	if again {
		s.client.calls.put(s)
	}
	return story
}

// tell gives the error, and to whoever asked for it the report. The call must
// be locked.
func (s *call) tell(err error) error {
	report, asked := s.ctx.Value(reportKey{}).(*Report)
	if err == nil && !asked {
		return nil
	}
	attempts := make([]Attempt, len(s.attempts))
	for i, a := range s.attempts {
		attempts[i] = a.Attempt
	}
	if asked {
		*report = Report{Attempts: attempts, Key: s.carriedKey()}
	}
	if err == nil {
		return nil
	}
	return &CallError{Attempts: attempts, Key: s.carriedKey(), err: err}
}

// endKey tells the key whether the callee's answer is known: if it is not, the
// same call may be made again under the same key. The call must be locked.
func (s *call) endKey(err error) {
	if s.terms == nil || s.terms.done == nil {
		return
	}
	answered := len(s.attempts) > 0 && s.attempts[len(s.attempts)-1].Class == retryfunc.Application
	mark, _ := retryfunc.ParseMark(err)
	s.terms.done(err != nil && (!answered || mark.Kind == retryfunc.MarkUnknown))
}

package wrapper

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// callTraits are what holds for all attempts of one call. What the registry
// announces counts too, so they are resolved when the first attempt is given a
// node.
type callTraits struct {
	resolved bool
	safety   retryfunc.Safety
	callKey  // zero: the call carries none
	keyTaken bool
	trusted  bool // the key is honoured wherever the call may go
}

// repeatable tells whether the call may run twice without harm.
func (t *callTraits) repeatable() bool { return t.safety.Repeatable() || t.trusted }

// guess is what a call's traits are likely to be.
type guess struct {
	safety  retryfunc.Safety
	trusted bool
}

func (g guess) repeatable() bool { return g.safety.Repeatable() || g.trusted }

// endpoint is what a client remembers of an endpoint that it calls. It is safe
// for concurrent use.
type endpoint struct {
	latency latency
	seen    atomic.Bool // an instance of it was
	known   atomic.Bool // whether the rest is
	safety  atomic.Uint32
	trusted atomic.Bool
	checked atomic.Bool                  // whether anybody serves it, or it cannot be remembered
	hedged  atomic.Pointer[hedgedCallee] // its service, once a call was to be hedged
	hedging hedgedEndpoint
	failures
	// In Unix nanoseconds:
	answered atomic.Int64 // when it was last answered in time
	slowDial atomic.Int64 // when dials were last given up in vain
	absent   atomic.Int64 // when a call last waited in vain for an instance
}

// learn remembers what one call has learnt for the guess of the next.
func (e *endpoint) learn(t *callTraits) {
	e.safety.Store(uint32(t.safety))
	e.trusted.Store(t.trusted)
	e.known.Store(true)
}

// observe notes what an instance has answered, if it has, and whether nobody waited for
// that any more.
func (e *endpoint) observe(of *entry, class retryfunc.Class, late bool) {
	now := time.Now()
	if of.failure {
		e.addFailure(of.Address, now)
	}
	if class != retryfunc.None && class != retryfunc.Application {
		return
	}
	if !late {
		e.answered.Store(now.UnixNano())
	}
	if !of.failure {
		e.resetFailures()
	}
	e.latency.observe(now, now.Sub(of.Began), late)
}

// endpoints are those of one client, by service and name.
type endpoints struct {
	mu    sync.RWMutex
	known map[endpointName]*endpoint
}

type endpointName struct{ service, endpoint string }

// maxEndpoints bounds what a client remembers, should names be made up at run
// time.
const maxEndpoints = 4096

func (e *endpoints) of(req client.Request) *endpoint {
	name := endpointName{req.Service(), req.Endpoint()}
	e.mu.RLock()
	found := e.known[name]
	e.mu.RUnlock()
	if found != nil {
		return found
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if found = e.known[name]; found != nil {
		return found
	}
	if e.known == nil {
		e.known = make(map[endpointName]*endpoint)
	}
	found = new(endpoint)
	if len(e.known) < maxEndpoints {
		e.known[name] = found
	} else {
		found.checked.Store(true) // else it would be warned of again and again
	}
	return found
}

// guessTraits does what must be done by the caller's goroutine: it asks the
// user's rule, and takes a key unless the endpoint is likely to be safe.
func (s *call) guessTraits() error {
	if rule := s.overrides.safety; rule != nil {
		if err := s.askRule(rule); err != nil {
			return err
		}
	}
	s.guess = guess{s.ruled, s.endpoint.trusted.Load()}
	if s.ruled == retryfunc.SafetyUnknown {
		s.guess.safety = retryfunc.Safety(s.endpoint.safety.Load()) //nolint:gosec // what was stored has 8 bits
	}
	if s.guess.safety == retryfunc.SafetySafe || s.streaming {
		return nil
	}
	return s.takeKey()
}

// askRule asks the user's rule. One that only looks into a table need not be
// guarded against.
func (s *call) askRule(rule retryfunc.Rule) (err error) {
	if s.overrides.quickSafety {
		s.ruled = rule(s.ctx, s.req)
	} else {
		ctx, req := s.ctx, s.req
		s.ruled, err = ask(s, func() retryfunc.Safety { return rule(ctx, req) })
	}
	if s.ruled > retryfunc.SafetySafe {
		return fmt.Errorf("wrapper: WithSafety: the rule says %v of %s/%s: must be unknown, unsafe, keyed, idempotent or safe",
			s.ruled, s.req.Service(), s.req.Endpoint())
	}
	return err
}

// callKey is the key of a call, as it was taken.
type callKey struct {
	key    idempotency.Key
	done   func(ambiguous bool)
	minted bool // for this call: its first attempt is sent when it was issued
	err    error
}

// takeKey gives the call its key, the same for all its attempts.
func (s *call) takeKey() error {
	ctx := s.ctx
	if s.overrides.key != "" {
		ctx = idempotency.WithKey(ctx, s.overrides.key)
	}
	_, own := idempotency.KeyFrom(ctx)
	_, within := idempotency.ExecutionFrom(ctx)
	var taken callKey
	var err error
	if minted := !own && !within; minted && s.client.generate != nil {
		req, generate := s.req, s.client.generate
		taken, err = ask(s, func() callKey { return callKeyOf(ctx, req, minted, generate) })
	} else {
		taken = callKeyOf(ctx, s.req, minted, nil)
	}
	if err = cmp.Or(err, taken.err); err != nil {
		return err
	}
	s.client.warnUnordered(ctx, taken.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traits.callKey, s.traits.keyTaken = taken, true
	return nil
}

// callKeyOf takes the key of the context, or mints one.
func callKeyOf(ctx context.Context, req client.Request, minted bool, generate idempotency.Generator) callKey {
	var fingerprint func() (idempotency.Fingerprint, error)
	if !minted {
		fingerprint = func() (idempotency.Fingerprint, error) { return idempotency.FingerprintOf(req.Body()) }
	}
	key, done, err := idempotency.CallKey(ctx, req.Service(), req.Endpoint(), fingerprint, generate)
	return callKey{key, done, minted, err}
}

// resolveTraits settles what the registry has a say in. It reports false where
// the call needs a key that was not taken, since it was guessed to be safe. The
// call must be locked.
func (s *call) resolveTraits(choice *selectorx.Choice) bool {
	t := &s.traits
	if t.resolved {
		return true
	}
	t.safety = s.ruled
	if t.safety == retryfunc.SafetyUnknown {
		t.safety = announcedSafety(choice.Services(), s.req.Endpoint())
	}
	if t.safety == retryfunc.SafetyUnknown {
		t.safety = s.client.described(s.ctx, s.req)
	}
	carries := t.safety != retryfunc.SafetySafe && !s.streaming
	if carries && !t.keyTaken {
		s.endpoint.learn(t)
		return false
	}
	t.trusted = carries && (s.client.trusted || choice.Once(oneStore{}, announceOneStore) == true)
	t.resolved = true
	s.endpoint.learn(t)
	return true
}

// oneStore is what announceOneStore is known by.
type oneStore struct{}

// announceOneStore tells whether every node announces the same dedupe store.
// One that announces none, as an instance not yet updated does, is enough for
// no: the next attempt may go there.
func announceOneStore(services []*registry.Service) any {
	var store string
	for _, service := range services {
		for _, node := range service.Nodes {
			id := node.Metadata[MetadataStore]
			if id == "" || store != "" && store != id {
				return false
			}
			store = id
		}
	}
	return store != ""
}

// announcedSafety is the weakest safety that any version of the service
// announces for endpoint: the call may reach any of them.
func announcedSafety(services []*registry.Service, endpoint string) retryfunc.Safety {
	weakest := retryfunc.SafetySafe
	for _, service := range services {
		weakest = min(weakest, safetyIn(service.Endpoints, endpoint))
		if weakest == retryfunc.SafetyUnknown {
			return weakest
		}
	}
	if len(services) == 0 {
		return retryfunc.SafetyUnknown
	}
	return weakest
}

func safetyIn(endpoints []*registry.Endpoint, name string) retryfunc.Safety {
	for _, endpoint := range endpoints {
		if endpoint.Name != name {
			continue
		}
		safety, err := retryfunc.ParseSafety(endpoint.Metadata[retryfunc.MetadataSafety])
		if err != nil {
			return retryfunc.SafetyUnknown
		}
		return safety
	}
	return retryfunc.SafetyUnknown
}

// carriedKey is the key that the call carries, or "". The call must be locked.
func (s *call) carriedKey() string {
	if !s.carriesKey() {
		return ""
	}
	return s.traits.key.Value
}

// carriesKey tells whether attempts are sent with the key. The call must be
// locked.
func (s *call) carriesKey() bool {
	return s.traits.keyTaken && (!s.traits.resolved || s.traits.safety != retryfunc.SafetySafe)
}

// endKey tells the key whether the callee has a record of the call: if that is not
// known, the same call may be made again under the same key.
func (s *call) endKey(done func(ambiguous bool), answered bool, err error) {
	mismatch := err != nil && isMismatch(err)
	done(err != nil && (!answered || mismatch || isUnrecorded(err)))
	if mismatch && s.overrides.key == "" {
		idempotency.OutOfOrder(s.ctx, s.req.Service(), s.req.Endpoint())
	}
}

// isUnrecorded tells whether an answer settles nothing for the server that gave it, so
// that it keeps no record of it: see idempotency.WithErrorPolicy. One that passes on
// what its own callee said keeps none of that either.
func isUnrecorded(err error) bool {
	if mark, marked := retryfunc.ParseMark(err); marked && mark.Kind != retryfunc.MarkFailed {
		return true
	}
	switch (wireErrors{}).micro(err).Code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	default:
		return false
	}
}

// dialsSlowly tells whether dials were given up in vain of late.
func (e *endpoint) dialsSlowly(now time.Time) bool {
	return now.Sub(time.Unix(0, e.slowDial.Load())) < slowDialMemory
}

// absentFor tells whether a call has waited in vain for an instance only just.
func (e *endpoint) absentFor(now time.Time, d time.Duration) bool {
	return now.Sub(time.Unix(0, e.absent.Load())) < d
}

package wrapper

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// callTraits are what holds for all attempts of one call. What the registry
// announces counts too, so they are resolved when the first attempt is given a
// node.
type callTraits struct {
	resolved bool
	safety   retryfunc.Safety
	key      idempotency.Key // zero: the call carries none
	keyTaken bool
	done     func(ambiguous bool)
	minted   bool // for this call: its first attempt is sent when it was issued
	trusted  bool // the key is honoured wherever the call may go
}

// repeatable tells whether the call may run twice without harm.
func (t *callTraits) repeatable() bool { return t.safety.Repeatable() || t.trusted }

// endpoint is what a client remembers of an endpoint that it calls. It is safe
// for concurrent use.
type endpoint struct {
	latency latency
	known   atomic.Bool // whether the rest is
	safety  atomic.Uint32
	trusted atomic.Bool
	absent  atomic.Int64 // when a call last waited in vain for an instance, in Unix nanoseconds
}

// learn remembers what one call has learnt for the guess of the next.
func (e *endpoint) learn(t *callTraits) {
	e.safety.Store(uint32(t.safety))
	e.trusted.Store(t.trusted)
	e.known.Store(true)
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
	}
	return found
}

// guessTraits does what must be done by the caller's goroutine: it asks the
// user's rule, and takes a key unless the endpoint is likely to be safe.
func (s *call) guessTraits() error {
	if rule := s.overrides.safety; rule != nil {
		err := s.ask(s.overrides.quickSafety, func() { s.ruled = rule(s.ctx, s.req) })
		if err != nil {
			return err
		}
	}
	s.guess.safety, s.guess.trusted = s.ruled, s.endpoint.trusted.Load()
	if s.ruled == retryfunc.SafetyUnknown {
		s.guess.safety = retryfunc.Safety(s.endpoint.safety.Load()) //nolint:gosec // what was stored has 8 bits
	}
	if s.guess.safety == retryfunc.SafetySafe || s.streaming {
		return nil
	}
	return s.takeKey()
}

// takeKey gives the call its key, the same for all its attempts.
func (s *call) takeKey() error {
	ctx := s.ctx
	if s.overrides.key != "" {
		ctx = idempotency.WithKey(ctx, s.overrides.key)
	}
	if s.client.generate == nil {
		return s.takeKeyFrom(ctx)
	}
	return s.askKey(ctx)
}

// askKey is takeKey where a key may be minted by the user's generator.
func (s *call) askKey(ctx context.Context) (err error) {
	overrun := s.ask(false, func() { err = s.takeKeyFrom(ctx) })
	if overrun != nil {
		return overrun
	}
	return err
}

func (s *call) takeKeyFrom(ctx context.Context) error {
	_, own := idempotency.KeyFrom(ctx)
	_, within := idempotency.ExecutionFrom(ctx)
	minted := !own && !within
	var fingerprint func() (idempotency.Fingerprint, error)
	if !minted {
		fingerprint = func() (idempotency.Fingerprint, error) { return idempotency.FingerprintOf(s.req.Body()) }
	}
	key, done, err := idempotency.CallKey(ctx, s.req.Service(), s.req.Endpoint(), fingerprint, s.client.generate)
	s.client.warnUnordered(ctx, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traits.key, s.traits.done, s.traits.keyTaken, s.traits.minted = key, done, true, minted
	return err
}

// resolveTraits settles what the registry has a say in. It reports false where
// the call needs a key that was not taken, since it was guessed to be safe. The
// call must be locked.
func (s *call) resolveTraits(services []*registry.Service) bool {
	t := &s.traits
	if t.resolved {
		return true
	}
	t.safety = s.ruled
	if t.safety == retryfunc.SafetyUnknown {
		t.safety = announcedSafety(services, s.req.Endpoint())
	}
	if t.safety == retryfunc.SafetyUnknown {
		t.safety = s.client.described(s.ctx, s.req)
	}
	carries := t.safety != retryfunc.SafetySafe && !s.streaming
	if carries && !t.keyTaken {
		s.endpoint.learn(t)
		return false
	}
	t.trusted = carries && (s.client.trusted || announceOneStore(services))
	t.resolved = true
	s.endpoint.learn(t)
	return true
}

// announceOneStore tells whether every node announces the same dedupe store.
// One that announces none, as an instance not yet updated does, is enough for
// no: the next attempt may go there.
func announceOneStore(services []*registry.Service) bool {
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

// isAnswered tells whether the call ended with an answer. The call must be locked.
func (s *call) isAnswered() bool {
	return len(s.attempts) > 0 && s.attempts[len(s.attempts)-1].Class == retryfunc.Application
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
	if _, marked := retryfunc.ParseMark(err); marked {
		return true
	}
	switch (wireErrors{}).micro(err).Code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	default:
		return false
	}
}

// ask runs a function of the user's, which is for the caller's goroutine to wait
// for, but not beyond the call's time: a function that is not quick runs beside
// it then. A panic in it is the caller's.
func (s *call) ask(quick bool, f func()) error {
	if quick || s.ctx.Done() == nil {
		f()
		return nil
	}
	return within(s.ctx, f)
}

// lastMoment is how long a function that is running when the call's time ends may
// take to return: one that is quick is always waited for.
const lastMoment = 25 * time.Millisecond

// within runs f and waits for it as long as ctx lasts, and a moment longer. What f
// panics with is raised in the goroutine of the caller, who may recover from it.
func within(ctx context.Context, f func()) error {
	done := make(chan any, 1)
	go func() {
		returned := false
		defer func() {
			if value := recover(); !returned {
				done <- raised{value}
				return
			}
			done <- nil
		}()
		f()
		returned = true
	}()
	var end any
	select {
	case end = <-done:
	case <-ctx.Done():
		timer := time.NewTimer(lastMoment)
		defer timer.Stop()
		select {
		case end = <-done:
		case <-timer.C:
			return context.Cause(ctx)
		}
	}
	if p, ok := end.(raised); ok {
		panic(p.value) //nolint:forbidigo // it is the user's own
	}
	return nil
}

// raised is what a function panicked with.
type raised struct{ value any }

// absentFor tells whether a call has waited in vain for an instance only just.
func (e *endpoint) absentFor(now time.Time, d time.Duration) bool {
	return now.Sub(time.Unix(0, e.absent.Load())) < d
}

package wrapper

import (
	"context"
	"errors"
	"runtime/debug"

	"go-micro.dev/v4/codec"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// NewHandlerWrapper returns a wrapper for micro.WrapHandler or
// server.WrapHandler: of the calls that carry one key, the handler executes one,
// and all get its answer, wherever they arrive, as far as guard's store reaches.
//
// service is the name under which the server is registered. A key that was minted
// for another call, by none of the names that WithAlias and WithRenamedEndpoint add,
// has leaked out of it: it is ignored, with an event and one warning for each pair of
// names, or refused where a key is required. Streams, and handlers whose reply is not
// decoded (with server.WithRouter), are executed as often as they are called, but
// for KeyRequired, which holds for them too. Panics are answered with a 500 on every
// transport, with or without a key.
//
// What is misspelt in opts goes unnoticed here: WrapServer knows the names of the
// endpoints.
//
// The context of a keyed handler does not end with its caller's: it has the
// guard's execution timeout. It carries no key of the caller's, so that calls
// made under it get keys of their own.
//
// The error names every option that is wrong, its value and what is allowed.
// The wrapper is safe for concurrent use. The caller drains guard before the
// server stops.
func NewHandlerWrapper(service string, guard *idempotency.Guard, opts ...ServerOption) (server.HandlerWrapper, error) {
	d, err := newDeduper(service, guard, opts)
	if err != nil {
		return nil, err
	}
	return d.wrapHandler, nil
}

func (d *deduper) wrapHandler(next server.HandlerFunc) server.HandlerFunc {
	return func(ctx context.Context, req server.Request, rsp any) error {
		return d.handle(ctx, req, rsp, next)
	}
}

var errNoGuard = errors.New("wrapper: guard nil: must be made by idempotency.New")

// deduper is what the wrappers of one service share.
type deduper struct {
	ServerOptions
	service  string
	guard    *idempotency.Guard
	guards   map[string]*idempotency.Guard // of endpoints with settings of their own
	messages messageGuards
	errors   wireErrors
	proto    retryfunc.Rule // what protobuf says of an endpoint
	declared declaredEndpoints
	warned   warnings
	codecs   func() map[string]codec.NewCodec // the server's own; nil: they are not known
}

func newDeduper(service string, guard *idempotency.Guard, opts []ServerOption) (*deduper, error) {
	o, err := newServerOptions(opts)
	switch {
	case service == "":
		err = errors.Join(err, errors.New(`wrapper: service "": must be the name the server is registered under`))
	case guard == nil:
		err = errors.Join(err, errNoGuard)
	}
	if err != nil {
		return nil, err
	}
	o.names.service = service
	d := &deduper{ServerOptions: o, service: service, errors: wireErrors{service}, proto: retryfunc.ProtoRule()}
	if d.guard, err = guard.With(append(o.watchGuard(), idempotency.WithErrorEncoder(d.errors.encode))...); err != nil {
		return nil, err
	}
	if d.guards, err = o.guards(d.guard); err != nil {
		return nil, err
	}
	return d, d.messages.init(d.guard)
}

func (d *deduper) guardOf(endpoint string) *idempotency.Guard {
	if g, ok := d.guards[d.names.currentOf(endpoint)]; ok {
		return g
	}
	return d.guard
}

// answer answers one request, and notes how in told, which may be nil.
func (d *deduper) answer(
	ctx context.Context, req server.Request, rsp any, next server.HandlerFunc, told *RequestEnded,
) (answer error) {
	endpoint := endpointOf(req)
	ctx, in, err := take(ctx)
	told.keyed(in.key.Value)
	if isStream(rsp) {
		return d.handleStream(ctx, req, rsp, next, in, err, told)
	}
	h := newHandling(ctx, in.ration, d.limiterOf(endpoint))
	h.described = described{req, endpoint}
	defer h.end()
	defer func() { sayPushback(ctx, answer) }()
	defer d.answerPanic(ctx, endpoint, &answer)
	mode := d.modeFor(h, &h.described)
	keyed, err := d.checkKey(h, mode, endpoint, in, err)
	switch {
	case err != nil:
		told.refused(err)
		return d.errors.answer(err)
	case h.isTooLate():
		return d.refuse(told, errLate)
	case keyed:
		return d.handleKeyed(h, req, rsp, next, in, d.isDeclared(mode, endpoint), told)
	}
	return d.handleUnkeyed(h, req, rsp, next, told)
}

// handleUnkeyed answers a request by executing it.
func (d *deduper) handleUnkeyed(h *handling, req server.Request, rsp any, next server.HandlerFunc, told *RequestEnded) error {
	if !h.enter() {
		return d.refuse(told, errBusy)
	}
	defer h.leave()
	err := next(h, req, rsp)
	if err != nil && h.isCalleeFailure(err) {
		return d.errors.withForGood(h, d.errors.passOn(err))
	}
	return d.errors.passOn(err)
}

// handleKeyed answers a request that is executed once.
func (d *deduper) handleKeyed(
	h *handling, req server.Request, rsp any, next server.HandlerFunc, in incoming, declared bool, told *RequestEnded,
) error {
	growStackToRecord(false)
	endpoint := endpointOf(req)
	if in.first && !h.enter() { // before the store has any work with it
		return d.refuse(told, errBusy)
	}
	defer h.leave()
	caller, err := d.caller(h, endpoint)
	if err != nil {
		told.refused(callerError{err})
		return err
	}
	h.unlimit()     // all attempts of the call join one execution
	in.key.For = "" // accepted by whatever name, and recorded by one
	busy := false
	result, err := d.guardOf(endpoint).Do(h, idempotency.Call{
		Service: d.service, Endpoint: d.names.recordedAs(endpoint), Caller: caller,
		Key: in.key, Attempt: in.attempt, Released: in.released, Declared: declared,
		Body: req.Body(), Reply: rsp,
	}, func(ctx context.Context) error {
		if busy = !h.enter(); busy {
			return idempotency.NotDone(errBusy)
		}
		told.entered()
		return d.errors.ofHandler(h, next(ctx, req, rsp))
	})
	told.guarded(result, err)
	switch {
	case busy:
		return d.refuse(told, errBusy)
	case result.Replayed:
		sayReplayed(h)
	case result.Released:
		return d.errors.unsettled(err)
	}
	return d.errors.answer(err)
}

// handleStream lets a stream pass, unless it lacks a key where one is required. err
// is what was wrong with its metadata, which counts only there: a stream is executed
// as often as it is opened.
func (d *deduper) handleStream(
	ctx context.Context, req server.Request, rsp any, next server.HandlerFunc, in incoming, err error, told *RequestEnded,
) error {
	rsp = d.framed(req, rsp)
	endpoint := endpointOf(req)
	mode := d.modeFor(ctx, &described{req, endpoint})
	if mode != KeyRequired {
		return next(ctx, req, rsp)
	}
	if _, err = d.checkKey(ctx, mode, endpoint, in, err); err != nil {
		told.refused(err)
		return d.errors.answer(err)
	}
	return next(ctx, req, rsp)
}

// isDeclared tells whether the service relies on the endpoint to run once per key.
func (d *deduper) isDeclared(mode KeyMode, endpoint string) bool {
	if mode == KeyRequired {
		return true
	}
	endpoint = d.names.currentOf(endpoint)
	_, set := d.settings[endpoint]
	return set || d.declared.has(endpoint)
}

// modeFor is the mode of the request's endpoint. One that protobuf declares to
// have no side effects has nothing to deduplicate, unless the user says so.
func (d *deduper) modeFor(ctx context.Context, req *described) KeyMode {
	if mode, ok := d.modes[d.names.currentOf(req.endpoint)]; ok {
		return mode
	}
	if d.proto(ctx, req) == retryfunc.SafetySafe {
		return KeyOff
	}
	return d.mode
}

// described is a request as its caller described it, for rules that are made for
// callers.
type described struct {
	server.Request
	endpoint string
}

// Endpoint is the name that grpc gives elsewhere.
func (d *described) Endpoint() string { return d.endpoint }

// Codec is nil, as it is for a caller before the call.
func (*described) Codec() codec.Writer { return nil }

// endpointOf is the name a request is for: grpc says it in another place.
func endpointOf(req server.Request) string {
	if endpoint := req.Endpoint(); endpoint != "" {
		return endpoint
	}
	return req.Method()
}

// isStream tells whether the handler gets a stream, or a response to encode
// itself, in place of a reply.
func isStream(rsp any) bool {
	switch rsp.(type) {
	case server.Stream, server.Response:
		return true
	default:
		return false
	}
}

// checkKey decides whether the call is deduplicated. err is what was wrong with
// its metadata.
func (d *deduper) checkKey(
	ctx context.Context, mode KeyMode, endpoint string, in incoming, err error,
) (keyed bool, _ error) {
	switch {
	case mode == KeyOff:
		return false, nil
	case err != nil:
		return false, err
	case in.key.Value == "" && mode == KeyRequired:
		return false, badRequestError{errKeyRequired}
	case in.key.Value == "" || d.names.accepts(in.key, endpoint):
		return in.key.Value != "", nil
	}
	d.reportForeign(ctx, endpoint, in.key, mode != KeyRequired)
	if mode == KeyRequired {
		return false, badRequestError{errForeignKey}
	}
	return false, nil
}

var (
	errKeyRequired = errors.New("this endpoint needs an idempotency key; send one in the metadata " + idempotency.HeaderKey +
		", a fresh one for every new intention and the same one for every repetition")
	errForeignKey = errors.New("this idempotency key was minted for another call; mint one for this call")
)

// answerPanic answers a panic, which mucp would leave without any answer, and
// which would end a process that speaks grpc. The handler's own in a keyed
// execution ends in the guard.
func (d *deduper) answerPanic(ctx context.Context, endpoint string, answer *error) {
	if value := recover(); value != nil {
		d.tellPanic(ctx, endpoint, value, debug.Stack())
		*answer = d.errors.panicked()
	}
}

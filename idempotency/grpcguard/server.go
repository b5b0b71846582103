package grpcguard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Server is the server's half. Make one with [NewServer]. It is safe for concurrent
// use.
type Server struct {
	ServerOptions
	service  string
	guard    *idempotency.Guard
	replies  sync.Map // full method → protoreflect.MessageType
	called   sync.Map // endpoint → the first full method that was called by it
	notProto sync.Once
	shared   sync.Once
	foreign  sync.Once
}

// NewServer returns the server's half over guard. service is the name under which
// go-micro clients call, or would call, this service: keys that were minted for
// another are ignored, or refused where a key is required, and marks in errors name
// it.
//
// Errors are encoded for the record here: an [idempotency.WithErrorEncoder] of
// guard's is not used. The caller drains guard before the server stops. The error
// names every option that is wrong, its value and what is allowed.
func NewServer(service string, guard *idempotency.Guard, options ...ServerOption) (*Server, error) {
	s := &Server{service: service, ServerOptions: ServerOptions{
		endpoint: goMicroEndpoint,
		caller:   func(context.Context, string) (string, error) { return "", nil },
		required: make(map[string]bool),
	}}
	s.names = []string{service}
	for i, option := range options {
		if option == nil {
			return nil, fmt.Errorf("grpcguard: option %d is nil: leave it out instead", i)
		}
		option(&s.ServerOptions)
	}
	err := errors.Join(s.errs...)
	if service == "" {
		err = errors.Join(err, errors.New(`grpcguard: service "": must be the name of the service`))
	}
	if guard == nil {
		err = errors.Join(err, errors.New("grpcguard: guard nil: must be made by idempotency.New"))
	}
	if err != nil {
		return nil, err
	}
	s.guard, err = guard.With(idempotency.WithErrorEncoder(s.encode))
	return s, err
}

// Check tells, once everything is registered with server, whether the options name
// a method that is not.
func (s *Server) Check(server interface {
	GetServiceInfo() map[string]grpc.ServiceInfo
}) error {
	known := make(map[string]bool)
	for service, info := range server.GetServiceInfo() {
		for _, method := range info.Methods {
			known["/"+service+"/"+method.Name] = true
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.required)) {
		if !known[name] {
			errs = append(errs, fmt.Errorf("grpcguard: WithRequired(%q): must be a method of this server", name))
		}
	}
	return errors.Join(errs...)
}

// Unary is the interceptor, for [grpc.ChainUnaryInterceptor]. The handler's context
// does not end with its caller's: it has the guard's execution timeout, and its
// metadata is without the key, so that it cannot leak into the handler's own calls.
// A panic of a keyed handler is answered Internal and reported by the guard. An
// answer that was given before has the trailer idempotent-replayed: true.
//
// Interceptors that authenticate come before it in the chain.
func (s *Server) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, in, err := take(ctx)
	method := describe(info.FullMethod)
	endpoint := s.endpoint(info.FullMethod)
	keyed, err := s.admit(ctx, info.FullMethod, endpoint, in, err, hasNoSideEffects(method))
	if err != nil {
		return nil, err
	}
	if !keyed || !s.isProto(info.FullMethod, req) {
		return handler(ctx, req)
	}
	s.warnOfSharedName(endpoint, info.FullMethod)
	caller, err := s.caller(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	x := &exchange{Server: s, method: info.FullMethod, described: method, handler: handler, req: req}
	return x.do(ctx, idempotency.Call{
		Service: s.service, Endpoint: endpoint, Caller: caller,
		Key: keyHere(in.key), Attempt: in.attempt, Released: in.released, Body: req, Reply: &x.stored,
		Declared: s.required[info.FullMethod],
	})
}

// keyHere is a key that is for the call, by whatever name of the service it says so.
func keyHere(key idempotency.Key) idempotency.Key {
	key.For = ""
	return key
}

// admit decides whether a call is run once. malformed is what was wrong with its
// metadata.
func (s *Server) admit(
	ctx context.Context, fullMethod, endpoint string, in incoming, malformed error, safe bool,
) (keyed bool, err error) {
	required := s.required[fullMethod] || s.requiredAll && !safe
	switch {
	case safe && !required: // there is nothing to run once
		return false, nil
	case malformed != nil:
		return false, badKey(malformed.Error())
	case in.key.Value == "" && required:
		return false, badKey("this method needs an idempotency key; send one in the metadata " + idempotency.HeaderKey +
			", a fresh one for every new intention and the same one for every repetition")
	case in.key.Value == "" || s.accepts(in.key, endpoint):
		return in.key.Value != "", nil
	}
	s.reportForeign(ctx, endpoint, in.key, !required)
	if required {
		return false, badKey("this idempotency key was minted for another call; mint one for this call")
	}
	return false, nil
}

// accepts tells whether a key may be used by a call to the endpoint.
func (s *Server) accepts(key idempotency.Key, endpoint string) bool {
	return slices.ContainsFunc(s.names, func(name string) bool { return key.IsFor(name, endpoint) })
}

// reportForeign tells of a call whose key was made for another one: it leaked out of
// that call, or the service has a name that it does not know of.
func (s *Server) reportForeign(ctx context.Context, endpoint string, key idempotency.Key, executed bool) {
	const longest = 255 // a client's words, for the log
	madeFor := key.For[:min(len(key.For), longest)]
	kind := idempotency.EventRefused
	if executed {
		kind = idempotency.EventIgnored
	}
	s.guard.Report(ctx, idempotency.Event{
		Kind:  kind,
		Scope: idempotency.Scope{Service: s.service, Endpoint: endpoint, Key: key.Value},
		Err:   fmt.Errorf("%w: %q; this is %q", idempotency.ErrForeignKey, madeFor, idempotency.CallName(s.service, endpoint)),
	})
	s.foreign.Do(func() {
		s.guard.Logger().WarnContext(ctx, "grpcguard: a key that was made for another call does not count here: if that is another name "+
			"of this service, say so with WithAlias, else something between hands the metadata of its own caller on",
			"made_for", madeFor, "service", s.service, "endpoint", endpoint, "executed", executed)
	})
}

// isProto tells whether a call can be recorded. One with a codec of its own passes
// through, with a warning.
func (s *Server) isProto(fullMethod string, req any) bool {
	if _, ok := req.(proto.Message); ok {
		return true
	}
	s.notProto.Do(func() {
		s.guard.Logger().Warn("grpcguard: a call whose request is no protobuf message is not deduplicated",
			"method", fullMethod, "type", fmt.Sprintf("%T", req))
	})
	return false
}

// warnOfSharedName says once that two packages have a method of one name, which
// then share their keys. go-micro's name for a method is the method's own.
func (s *Server) warnOfSharedName(endpoint, fullMethod string) {
	if service, _, _ := splitMethod(fullMethod); strings.TrimSuffix(service, "."+shortName(service)) == s.service {
		return
	}
	if other, known := s.called.LoadOrStore(endpoint, fullMethod); known && other != fullMethod {
		s.shared.Do(func() {
			s.guard.Logger().Warn("grpcguard: two methods share their keys, because they have one name; "+
				"tell them apart with WithEndpoint", "endpoint", endpoint, "methods", []any{other, fullMethod})
		})
	}
}

// exchange is a call on its way through the guard.
type exchange struct {
	*Server
	method    string
	described protoreflect.MethodDescriptor
	handler   grpc.UnaryHandler
	req       any

	// stored has the reply's encoding for its unknown fields: nobody knows the
	// type of a reply before its handler has run.
	stored emptypb.Empty
	reply  any // the handler's
	ran    bool
}

func (x *exchange) do(ctx context.Context, call idempotency.Call) (any, error) {
	result, err := x.guard.Do(ctx, call, x.handle)
	if result.Replayed {
		sayReplayed(ctx)
	}
	if !x.ran {
		sayPushback(ctx, err)
	}
	switch {
	case x.ran && (err == nil || errors.Is(err, errNotKept)):
		return x.reply, nil
	case result.Released:
		return nil, x.unsettled(err)
	case err != nil:
		return nil, x.answer(err)
	}
	return x.replay()
}

// errNotKept stands in the record for a reply that protobuf cannot encode.
var errNotKept = errors.New("grpcguard: " + idempotency.ErrNoReply.Error())

// handle runs the handler, and takes its reply down.
func (x *exchange) handle(ctx context.Context) error {
	reply, err := x.handler(ctx, x.req)
	x.reply, x.ran = reply, true
	if err != nil {
		return ofHandler(err, x.service)
	}
	m, ok := reply.(proto.Message)
	if !ok {
		return idempotency.FinalKeepWrites(errNotKept)
	}
	raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
	if err != nil { // grpc will say so
		return idempotency.FinalKeepWrites(errNotKept)
	}
	x.stored.ProtoReflect().SetUnknown(raw)
	if m.ProtoReflect().IsValid() {
		x.replies.LoadOrStore(x.method, m.ProtoReflect().Type())
	}
	return nil
}

// replay gives the recorded reply the type that the handler's has, for the sake of
// other interceptors. Where it is not known, the encoding is the same.
func (x *exchange) replay() (any, error) {
	raw := x.stored.ProtoReflect().GetUnknown()
	var kind protoreflect.MessageType
	if learnt, ok := x.replies.Load(x.method); ok {
		kind, _ = learnt.(protoreflect.MessageType)
	} else if kind = replyType(x.described); kind == nil {
		return &x.stored, nil
	}
	m := kind.New().Interface()
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(raw, m); err != nil {
		return nil, x.answer(&idempotency.Error{Reason: idempotency.ErrCorrupt, Code: 500, Err: err})
	}
	return m, nil
}

// sayPushback tells clients that retry by themselves when to: see "Pushback" in gRFC A6.
// That one does not learn of it is no reason to fail the call.
func sayPushback(ctx context.Context, err error) {
	refused, ok := errors.AsType[*idempotency.Error](err)
	if !ok || refused.RetryAfter <= 0 {
		return
	}
	ms := strconv.FormatInt(max(refused.RetryAfter.Milliseconds(), 1), 10)
	_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", ms)) // see above
}

// sayReplayed marks an answer as one that was recorded earlier. That a client does
// not learn of it is no reason to fail the call.
func sayReplayed(ctx context.Context) {
	_ = grpc.SetTrailer(ctx, metadata.Pairs(idempotency.HeaderReplayed, "true")) // see above
}

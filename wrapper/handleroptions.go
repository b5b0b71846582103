package wrapper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// KeyMode says what a handler wrapper does about the key of a call.
type KeyMode uint8

const (
	// KeyOptional runs a call with a key once, and one without a key as often
	// as it comes. It is the zero value and the default.
	KeyOptional KeyMode = iota
	// KeyRequired answers 400 to a call without a key.
	KeyRequired
	// KeyOff ignores keys: for endpoints that change nothing. Where the server
	// announces its store, clients repeat keyed calls to these endpoints too.
	KeyOff
)

// String names the mode.
func (m KeyMode) String() string {
	switch m {
	case KeyOptional:
		return "optional"
	case KeyRequired:
		return "required"
	case KeyOff:
		return "off"
	}
	return fmt.Sprintf("KeyMode(%d)", uint8(m))
}

// CallerFunc says on whose behalf a request came: two callers who chose the
// same key must not meet. It must go by authenticated data, as another wrapper
// put into ctx; what a client says of itself in its metadata is no proof. Its
// error is answered as it is, and nothing runs.
type CallerFunc func(ctx context.Context, endpoint string) (string, error)

// PanicFunc sees what a handler, or a function that was given in an option,
// panicked with outside of a keyed execution, where the guard's hook does.
type PanicFunc func(ctx context.Context, endpoint string, value any, stack []byte)

// ServerOptions is what the ServerOption functions set. The zero value of each
// field stands for the default that its option documents.
type ServerOptions struct {
	mode     KeyMode
	modes    map[string]KeyMode
	settings map[string][]idempotency.Option
	caller   CallerFunc
	panicked PanicFunc

	errs []error
}

// ServerOption configures NewHandlerWrapper and NewSubscriberWrapper.
type ServerOption func(*ServerOptions)

// WithKeyMode sets what is done about keys: for the endpoints named ("Say.Hello")
// or, where none is named, for all others. The default is KeyOptional, and
// KeyOff for endpoints that protobuf declares to have no side effects
// (idempotency_level).
func WithKeyMode(mode KeyMode, endpoints ...string) ServerOption {
	return func(o *ServerOptions) {
		if mode > KeyOff {
			o.reject("WithKeyMode", mode, "KeyOptional, KeyRequired or KeyOff")
		}
		if len(endpoints) == 0 {
			o.mode = mode
		}
		for _, endpoint := range endpoints {
			if endpoint == "" {
				o.reject("WithKeyMode", `""`, "an endpoint such as Say.Hello")
			}
			o.modes[endpoint] = mode
		}
	}
}

// WithEndpointSettings changes the guard's settings for one endpoint, for
// instance how long its duplicates wait or what becomes of its orphans.
func WithEndpointSettings(endpoint string, settings ...idempotency.Option) ServerOption {
	return func(o *ServerOptions) {
		if endpoint == "" || len(settings) == 0 {
			o.reject("WithEndpointSettings", fmt.Sprintf("%q, %d settings", endpoint, len(settings)), "an endpoint and at least one setting")
		}
		o.settings[endpoint] = append(o.settings[endpoint], settings...)
	}
}

// WithCaller tells callers apart. The default is not to: then whoever knows
// another's key, and sends the same body, gets the other's answer.
func WithCaller(f CallerFunc) ServerOption {
	return func(o *ServerOptions) {
		if f == nil {
			o.reject("WithCaller", nil, "a function over authenticated data")
		}
		o.caller = f
	}
}

// WithPanicHook sets what sees the panics that are outside of a keyed execution,
// see PanicFunc. They are answered with a 500 in any case. The default logs them with slog.
func WithPanicHook(f PanicFunc) ServerOption {
	return func(o *ServerOptions) {
		if f == nil {
			o.reject("WithPanicHook", nil, "a function")
		}
		o.panicked = f
	}
}

func (o *ServerOptions) reject(option string, value any, allowed string) {
	o.errs = append(o.errs, wrongOption(option, value, allowed))
}

func newServerOptions(opts []ServerOption) (ServerOptions, error) {
	o := ServerOptions{
		modes:    make(map[string]KeyMode),
		settings: make(map[string][]idempotency.Option),
		caller:   func(context.Context, string) (string, error) { return "", nil },
		panicked: logPanic,
	}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("wrapper: nil option: leave it out instead")
		}
		opt(&o)
	}
	return o, errors.Join(o.errs...)
}

// guards makes the guards of the endpoints that have settings of their own.
func (o *ServerOptions) guards(guard *idempotency.Guard) (map[string]*idempotency.Guard, error) {
	guards := make(map[string]*idempotency.Guard, len(o.settings))
	var errs []error
	for _, endpoint := range slices.Sorted(maps.Keys(o.settings)) {
		own, err := guard.With(o.settings[endpoint]...)
		if err != nil {
			errs = append(errs, fmt.Errorf("wrapper: WithEndpointSettings(%q): %w", endpoint, err))
		}
		guards[endpoint] = own
	}
	return guards, errors.Join(errs...)
}

func logPanic(ctx context.Context, endpoint string, value any, stack []byte) {
	slog.ErrorContext(ctx, "oncemore: a handler panicked; its caller was answered 500",
		"endpoint", endpoint, "panic", value, "stack", string(stack))
}

func (o *ServerOptions) modeOf(endpoint string) KeyMode {
	if mode, ok := o.modes[endpoint]; ok {
		return mode
	}
	return o.mode
}

// EndpointSafety announces, through the registry, how safe an endpoint is to
// repeat, so that clients need not be told: give it to micro.RegisterHandler or
// server.NewHandler. An endpoint that changes nothing is "safe", one whose
// repetition has the effect of one call "idempotent", and one that a handler
// wrapper deduplicates "keyed".
//
// Registries keep endpoints by the version of a service, and not by instance: of
// instances with one version, what one announces is taken for what all do. Give
// the service a new version (micro.Version) when an endpoint becomes safer.
func EndpointSafety(endpoint string, safety string) server.HandlerOption {
	return server.EndpointMetadata(endpoint, map[string]string{retryfunc.MetadataSafety: safety})
}

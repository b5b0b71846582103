package wrapper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/concurrency"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// KeyMode says what a handler wrapper does about the key of a call.
type KeyMode uint8

const (
	// KeyOptional runs a call with a key once, and one without a key as often
	// as it comes. It is the zero value and the default.
	KeyOptional KeyMode = iota
	// KeyRequired answers 400 to a call without a key, and to a stream that is opened
	// without one. Wrapped clients send none with a stream: name those that need none
	// with KeyOff.
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

// ServerOptions is what the ServerOption functions set. The zero value of each
// field stands for the default that its option documents.
type ServerOptions struct {
	mode      KeyMode
	modes     map[string]KeyMode
	settings  map[string][]idempotency.Option
	caller    CallerFunc
	observers observers
	names     ownNames
	mentions  []mention
	limiter   *concurrency.Limiter
	limiters  map[string]*concurrency.Limiter

	errs []error
}

// mention is an endpoint that an option names, and which must exist.
type mention struct{ option, endpoint string }

// ServerOption configures WrapServer, NewHandlerWrapper and NewSubscriberWrapper.
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
			o.mention("WithKeyMode", endpoint)
			o.modes[endpoint] = mode
		}
	}
}

// WithEndpointSettings changes the guard's settings for one endpoint, for
// instance how long its duplicates wait or what becomes of its orphans.
func WithEndpointSettings(endpoint string, settings ...idempotency.Option) ServerOption {
	return func(o *ServerOptions) {
		if len(settings) == 0 {
			o.reject("WithEndpointSettings", fmt.Sprintf("%q, 0 settings", endpoint), "given at least one setting")
		}
		o.mention("WithEndpointSettings", endpoint)
		o.settings[endpoint] = append(o.settings[endpoint], settings...)
	}
}

// WithAlias adds names of the service: those by which it is called, beside the one
// under which it is registered, as behind a proxy or while it is being renamed. A key
// that was minted for one of them counts. Records are kept under the registered name.
func WithAlias(services ...string) ServerOption {
	return func(o *ServerOptions) {
		if len(services) == 0 {
			o.reject("WithAlias", "", "given at least one name")
		}
		for _, service := range services {
			if service == "" {
				o.reject("WithAlias", `""`, "a name by which the service is called")
			}
			o.names.aliases = append(o.names.aliases, service)
		}
	}
}

// WithRenamedEndpoint says by which names an endpoint was called before, the oldest
// first. Its records stay under the oldest, and keys that were minted for any of them
// count, so that a call that is repeated after the rename finds its record. The
// endpoint may still be served by the former names, too.
func WithRenamedEndpoint(endpoint string, former ...string) ServerOption {
	return func(o *ServerOptions) {
		o.mention("WithRenamedEndpoint", endpoint)
		if len(former) == 0 || slices.Contains(former, "") || slices.Contains(former, endpoint) {
			o.reject("WithRenamedEndpoint", fmt.Sprintf("%q, %q", endpoint, former),
				"given former names, none of them empty or the name of today")
		}
		o.names.former[endpoint] = append(o.names.former[endpoint], former...)
		for _, name := range former {
			if other, ok := o.names.current[name]; ok && other != endpoint {
				o.reject("WithRenamedEndpoint", fmt.Sprintf("%q, %q", endpoint, former),
					fmt.Sprintf("given names that %q did not have", other))
			}
			o.names.current[name] = endpoint
		}
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

// mention notes that an option names an endpoint.
func (o *ServerOptions) mention(option, endpoint string) {
	if endpoint == "" {
		o.reject(option, `""`, "given an endpoint such as Say.Hello")
	}
	o.mentions = append(o.mentions, mention{option, endpoint})
}

func (o *ServerOptions) reject(option string, value any, allowed string) {
	o.errs = append(o.errs, wrongOption(option, value, allowed))
}

func newServerOptions(opts []ServerOption) (ServerOptions, error) {
	o := ServerOptions{
		modes:    make(map[string]KeyMode),
		settings: make(map[string][]idempotency.Option),
		limiters: make(map[string]*concurrency.Limiter),
		caller:   func(context.Context, string) (string, error) { return "", nil },
		names:    ownNames{former: make(map[string][]string), current: make(map[string]string)},
	}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("wrapper: nil option: leave it out instead")
		}
		opt(&o)
	}
	for _, m := range o.mentions {
		if current, ok := o.names.current[m.endpoint]; ok {
			o.reject(m.option, fmt.Sprintf("%q", m.endpoint),
				fmt.Sprintf("given the name of today, %q: see WithRenamedEndpoint", current))
		}
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

// EndpointSafety announces, through the registry, how safe an endpoint is to
// repeat, so that clients need not be told: give it to micro.RegisterHandler or
// server.NewHandler. An endpoint that changes nothing is retryfunc.SafetySafe, one
// whose repetition has the effect of one call retryfunc.SafetyIdempotent, and one
// that a handler wrapper deduplicates retryfunc.SafetyKeyed. Another safety, or an
// endpoint that the handler does not have, is an error when a server starts that
// WrapServer or the plugin has wrapped; without them it is announced, and counts for
// nothing.
//
// Registries keep endpoints by the version of a service, and not by instance: of
// instances with one version, what one announces is taken for what all do. Give
// the service a new version (micro.Version) when an endpoint becomes safer.
func EndpointSafety(endpoint string, safety retryfunc.Safety) server.HandlerOption {
	return server.EndpointMetadata(endpoint, map[string]string{retryfunc.MetadataSafety: safety.String()})
}

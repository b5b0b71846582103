package grpcguard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// EndpointFunc names what a full method, such as /shop.v1.Wallet/Tip, is called in
// the scope of its records and in Idempotency-For.
type EndpointFunc func(fullMethod string) string

// CallerFunc says on whose behalf a call came: two callers who chose the same key
// must not meet. It must go by authenticated data, such as the peer's certificate;
// what a client says of itself in its metadata is no proof. Its error is answered as
// it is, and nothing runs.
type CallerFunc func(ctx context.Context, fullMethod string) (string, error)

// ServerOptions are the settings of [NewServer], made by the functions of type
// [ServerOption].
type ServerOptions struct {
	endpoint    EndpointFunc
	caller      CallerFunc
	names       []string // of the service
	required    map[string]bool
	requiredAll bool
	errs        []error
}

// ServerOption changes one setting of [NewServer].
type ServerOption func(*ServerOptions)

// ClientOptions are the settings of [NewClient], made by the functions of type
// [ClientOption].
type ClientOptions struct {
	endpoint EndpointFunc
	generate idempotency.Generator
	safe     map[string]bool
	errs     []error
}

// ClientOption changes one setting of [NewClient].
type ClientOption func(*ClientOptions)

// WithCaller tells callers apart. The default is not to: then whoever knows
// another's key, and sends the same request, gets the other's answer.
func WithCaller(f CallerFunc) ServerOption {
	return func(o *ServerOptions) {
		if f == nil {
			o.errs = append(o.errs, errors.New("grpcguard: WithCaller(nil): must be a function over authenticated data"))
		}
		o.caller = f
	}
}

// WithRequired answers InvalidArgument to calls of these full methods, such as
// /shop.v1.Wallet/Tip, that have no key; where none is named, to calls of all
// methods that protobuf does not declare to have no side effects. By default a call
// without a key runs as often as it comes.
func WithRequired(fullMethods ...string) ServerOption {
	return func(o *ServerOptions) {
		o.requiredAll = o.requiredAll || len(fullMethods) == 0
		o.errs = append(o.errs, addMethods("WithRequired", o.required, fullMethods))
	}
}

// WithAlias names other names by which clients call the service, such as its name in
// a registry: keys that were minted for those count here, too.
func WithAlias(services ...string) ServerOption {
	services = slices.Clone(services)
	return func(o *ServerOptions) {
		if len(services) == 0 || slices.Contains(services, "") {
			o.errs = append(o.errs, fmt.Errorf("grpcguard: WithAlias(%q): must be names of the service", services))
		}
		o.names = append(o.names, services...)
	}
}

// WithEndpoint names methods otherwise than a go-micro server does. A client of
// this server needs the same names ([WithClientEndpoint]).
func WithEndpoint(f EndpointFunc) ServerOption {
	return func(o *ServerOptions) {
		if f == nil {
			o.errs = append(o.errs, errors.New("grpcguard: WithEndpoint(nil): must be a function"))
		}
		o.endpoint = f
	}
}

// WithClientEndpoint is [WithEndpoint] for the client.
func WithClientEndpoint(f EndpointFunc) ClientOption {
	return func(o *ClientOptions) {
		if f == nil {
			o.errs = append(o.errs, errors.New("grpcguard: WithClientEndpoint(nil): must be a function"))
		}
		o.endpoint = f
	}
}

// WithSafe names full methods that change nothing, and whose calls therefore need no
// key, in addition to those that protobuf declares to have no side effects
// (idempotency_level).
func WithSafe(fullMethods ...string) ClientOption {
	return func(o *ClientOptions) {
		if len(fullMethods) == 0 {
			o.errs = append(o.errs, errors.New("grpcguard: WithSafe(): must be given at least one full method"))
		}
		o.errs = append(o.errs, addMethods("WithSafe", o.safe, fullMethods))
	}
}

// WithKeyGenerator mints keys otherwise than with [idempotency.NewUUID].
func WithKeyGenerator(generate idempotency.Generator) ClientOption {
	return func(o *ClientOptions) {
		if generate == nil {
			o.errs = append(o.errs, errors.New("grpcguard: WithKeyGenerator(nil): must be a function"))
		}
		o.generate = generate
	}
}

func addMethods(option string, to map[string]bool, fullMethods []string) error {
	var errs []error
	for _, name := range fullMethods {
		if service, method, ok := splitMethod(name); !ok || service == "" || method == "" {
			errs = append(errs, fmt.Errorf("grpcguard: %s(%q): must be a full method such as /shop.v1.Wallet/Tip", option, name))
		}
		to[name] = true
	}
	return errors.Join(errs...)
}

// splitMethod splits /shop.v1.Wallet/Tip into shop.v1.Wallet and Tip.
func splitMethod(fullMethod string) (service, method string, ok bool) {
	rest, ok := strings.CutPrefix(fullMethod, "/")
	if !ok {
		return "", "", false
	}
	service, method, ok = strings.Cut(rest, "/")
	return service, method, ok && !strings.Contains(method, "/")
}

// goMicroEndpoint names a method as go-micro's server does.
func goMicroEndpoint(fullMethod string) string {
	service, method, ok := splitMethod(fullMethod)
	if !ok {
		return fullMethod
	}
	return shortName(service) + "." + method
}

// shortName is a service's name without its package.
func shortName(service string) string { return service[strings.LastIndexByte(service, '.')+1:] }

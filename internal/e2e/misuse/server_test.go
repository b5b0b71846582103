package misuse

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/grpcguard"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
	"github.com/oncemore-dev/oncemore/idempotency/httpkey"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// named is the error of a constructor that got nil in the place of an option, which
// has no name.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func memory(t *testing.T) *memstore.Store {
	t.Helper()
	store, err := memstore.New()
	must(t, err)
	return store
}

func guard(t *testing.T) *idempotency.Guard {
	t.Helper()
	g, err := idempotency.New(memory(t))
	must(t, err)
	return g
}

// installs makes a plugin that has a store.
func installs(opts ...oncemore.Option) func(*testing.T) error {
	return func(t *testing.T) error {
		_, err := oncemore.New(append(opts, oncemore.WithStore(memory(t)))...)
		return err
	}
}

var ofRoot = []wrong{
	{"oncemore.New", "nil", "leave it out instead", func(*testing.T) error {
		_, err := oncemore.New(nil)
		return named("New", err)
	}},
	{"oncemore.WithStore", "(nil)", "must be a store", fails(oncemore.New(oncemore.WithStore(nil)))},
	{"oncemore.WithStore", "WithLease(0s)", "at least 1ms", func(t *testing.T) error {
		_, err := oncemore.New(oncemore.WithStore(memory(t), idempotency.WithLease(0)))
		return err
	}},
	{"oncemore.WithClient", "WithAttempts(0)", "1 to 100", installs(oncemore.WithClient(wrapper.WithAttempts(0)))},
	{"oncemore.WithClient", "nil", "leave it out instead", installs(oncemore.WithClient(nil))},
	{"oncemore.WithServer", "WithCaller(<nil>)", "a function over authenticated data", installs(oncemore.WithServer(wrapper.WithCaller(nil)))},
	{"oncemore.WithServer", "nil", "leave it out instead", installs(oncemore.WithServer(nil))},
	{"oncemore.WithServer", "WithStore", "needs WithStore", fails(oncemore.New(oncemore.WithServer(wrapper.WithKeyMode(wrapper.KeyRequired))))},
	{"oncemore.WithObserver", "(nil)", "an observer such as", installs(oncemore.WithObserver(nil))},
	{"oncemore.WithDrainTimeout", "(0s)", "more than 0", installs(oncemore.WithDrainTimeout(0))},
	{"oncemore.WithDrainTimeout", "WithStore", "needs WithStore", fails(oncemore.New(oncemore.WithDrainTimeout(time.Second)))},
	{"oncemore.WithSelector", "WithResync(0s)", "at least 1s", installs(oncemore.WithSelector(selectorx.WithResync(0)))},
	{"oncemore.WithSelector", "WithOwnSelector", "not together", installs(oncemore.WithSelector(selectorx.WithResync(time.Second)), oncemore.WithOwnSelector())},
}

// wrapsHandlers makes a wrapper of handlers.
func wrapsHandlers(opts ...wrapper.ServerOption) func(*testing.T) error {
	return func(t *testing.T) error {
		_, err := wrapper.NewHandlerWrapper("bank", guard(t), opts...)
		return err
	}
}

// starts runs a server with one handler and, if there is one, one subscriber.
func starts(handler server.HandlerOption, subscriber any, opts ...wrapper.ServerOption) func(*testing.T) error {
	return func(t *testing.T) error {
		s, err := wrapper.WrapServer(server.NewServer(server.Name("bank"), server.Address("127.0.0.1:0"),
			server.Registry(registry.NewMemoryRegistry()), server.Broker(broker.NewMemoryBroker())), guard(t), opts...)
		must(t, err)
		var handlers []server.HandlerOption
		if handler != nil {
			handlers = append(handlers, handler)
		}
		must(t, s.Handle(s.NewHandler(new(Bank), handlers...)))
		if subscriber != nil {
			return s.Subscribe(s.NewSubscriber("orders", subscriber))
		}
		err = s.Start()
		if err == nil {
			must(t, s.Stop())
		}
		return err
	}
}

// Bank is exported because go-micro names endpoints after the type.
type Bank struct{}

// Tip does nothing.
func (*Bank) Tip(context.Context, *wrapperspb.StringValue, *wrapperspb.StringValue) error { return nil }

var ofServers = []wrong{
	{"wrapper.NewHandlerWrapper", `service ""`, "the name the server is registered under", func(t *testing.T) error {
		_, err := wrapper.NewHandlerWrapper("", guard(t))
		return named("NewHandlerWrapper", err)
	}},
	{"wrapper.NewSubscriberWrapper", "guard nil", "made by idempotency.New", func(*testing.T) error {
		_, err := wrapper.NewSubscriberWrapper("bank", nil)
		return named("NewSubscriberWrapper", err)
	}},
	{"wrapper.WrapServer", "guard nil", "made by idempotency.New", func(*testing.T) error {
		_, err := wrapper.WrapServer(server.NewServer(), nil)
		return named("WrapServer", err)
	}},
	{"wrapper.NodeMetadata", "guard nil", "made by idempotency.New", func(t *testing.T) error {
		_, err := wrapper.NodeMetadata(t.Context(), nil)
		return named("NodeMetadata", err)
	}},
	{"wrapper.WithKeyMode", "(KeyMode(9))", "KeyOptional, KeyRequired or KeyOff", wrapsHandlers(wrapper.WithKeyMode(9))},
	{"wrapper.WithKeyMode", `("")`, "an endpoint such as Say.Hello", wrapsHandlers(wrapper.WithKeyMode(wrapper.KeyOff, ""))},
	{"wrapper.WithKeyMode", `"Bank.Tipp"`, "Bank.Tip", starts(nil, nil, wrapper.WithKeyMode(wrapper.KeyOff, "Bank.Tipp"))},
	{"wrapper.WithEndpointSettings", `"Bank.Tip", 0 settings`, "at least one setting", wrapsHandlers(wrapper.WithEndpointSettings("Bank.Tip"))},
	{"wrapper.WithEndpointSettings", "WithLease(0s)", "at least 1ms", wrapsHandlers(wrapper.WithEndpointSettings("Bank.Tip", idempotency.WithLease(0)))},
	{"wrapper.WithAlias", "()", "at least one name", wrapsHandlers(wrapper.WithAlias())},
	{"wrapper.WithAlias", `("")`, "a name by which the service is called", wrapsHandlers(wrapper.WithAlias("giro", ""))},
	{"wrapper.WithRenamedEndpoint", `("Bank.Tip", [])`, "given former names", wrapsHandlers(wrapper.WithRenamedEndpoint("Bank.Tip"))},
	{"wrapper.WithRenamedEndpoint", `("Bank.Tip", ["Bank.Tip"])`, "none of them empty or the name of today", wrapsHandlers(wrapper.WithRenamedEndpoint("Bank.Tip", "Bank.Tip"))},
	{"wrapper.WithCaller", "nil", "a function over authenticated data", wrapsHandlers(wrapper.WithCaller(nil))},
	{"wrapper.WithConcurrencyLimit", "nil", "concurrency.NewAdaptive or NewFixed", wrapsHandlers(wrapper.WithConcurrencyLimit(nil))},
	{"wrapper.WithServerObserver", "nil", "an observer such as", wrapsHandlers(wrapper.WithServerObserver(nil))},
	{"wrapper.EndpointSafety", "unknown", "retryfunc.SafetySafe", starts(wrapper.EndpointSafety("Bank.Tip", retryfunc.SafetyUnknown), nil)},
	{"wrapper.EndpointSafety", `"Bank.Tipp"`, "Bank.Tip", starts(wrapper.EndpointSafety("Bank.Tipp", retryfunc.SafetySafe), nil)},
}

func handle(context.Context, *wrapperspb.StringValue) error { return nil }

// subscribes registers a subscriber.
func subscribes(opts ...wrapper.SubscriptionOption) func(*testing.T) error {
	return starts(nil, wrapper.Subscriber("mail", handle, opts...))
}

var ofSubscriptions = []wrong{
	{"wrapper.Subscriber", `("a#b")`, "1 to 100 letters", starts(nil, wrapper.Subscriber("a#b", handle))},
	{"wrapper.Subscriber", `("mail")`, "given a function", starts(nil, wrapper.Subscriber[wrapperspb.StringValue]("mail", nil))},
	{"wrapper.WithMessageKey", "nil", "given a function", subscribes(wrapper.WithMessageKey[wrapperspb.StringValue](nil))},
	{"wrapper.WithMessageKey", "*wrapperspb.Int64Value", "for a *wrapperspb.StringValue", subscribes(wrapper.WithMessageKey(
		func(context.Context, *wrapperspb.Int64Value) (string, error) { return "", nil }))},
	{"wrapper.WithSubscriptionSettings", "()", "at least one setting", subscribes(wrapper.WithSubscriptionSettings())},
	{"wrapper.WithSubscriptionSettings", "WithLease(0s)", "at least 1ms", subscribes(wrapper.WithSubscriptionSettings(idempotency.WithLease(0)))},
}

// guards makes a guard.
func guards(opts ...idempotency.Option) func(*testing.T) error {
	return func(t *testing.T) error {
		_, err := idempotency.New(memory(t), opts...)
		return err
	}
}

var ofGuards = []wrong{
	{"idempotency.New", "(nil)", "given a store", fails(idempotency.New(nil))},
	{"idempotency.New", "option 0 is nil", "leave it out instead", func(t *testing.T) error {
		_, err := idempotency.New(memory(t), nil)
		return named("New", err)
	}},
	{"idempotency.WithLease", "(0s)", "at least 1ms", guards(idempotency.WithLease(0))},
	{"idempotency.WithMaxWait", "(-1s)", "at least 0s", guards(idempotency.WithMaxWait(-time.Second))},
	{"idempotency.WithMaxWait", "(2562047h47m16.854775807s)", "at most 438000h0m0s", guards(idempotency.WithMaxWait(1<<63 - 1))},
	{"idempotency.WithExecutionTimeout", "(0s)", "at least 1ns", guards(idempotency.WithExecutionTimeout(0))},
	{"idempotency.WithExecutionTimeout", "48h0m0s", "WithRetention(24h0m0s): must be at least", guards(idempotency.WithExecutionTimeout(48 * time.Hour))},
	{"idempotency.WithRetention", "(1s)", "at least the execution timeout", guards(idempotency.WithRetention(time.Second))},
	{"idempotency.WithClockMargin", "(-1s)", "at least 0s", guards(idempotency.WithClockMargin(-time.Second))},
	{"idempotency.WithReleaseMemory", "(-1s)", "at least 0s", guards(idempotency.WithReleaseMemory(-time.Second))},
	{"idempotency.WithStoreTimeout", "(0s)", "at least 1ns", guards(idempotency.WithStoreTimeout(0))},
	{"idempotency.WithPollInterval", "(0s)", "at least 1ns", guards(idempotency.WithPollInterval(0))},
	{"idempotency.WithMaxReply", "(0)", "at least 1", guards(idempotency.WithMaxReply(0))},
	{"idempotency.WithTakeover", "TakeoverRecover(nil)", "given a function", guards(idempotency.WithTakeover(idempotency.TakeoverRecover(nil)))},
	{"idempotency.TakeoverRecover", "(nil)", "given a function", guards(idempotency.WithTakeover(idempotency.TakeoverRecover(nil)))},
	{"idempotency.WithStoreFailure", "(7)", "FailClosed or FailOpen", guards(idempotency.WithStoreFailure(7))},
	{"idempotency.WithErrorPolicy", "(nil)", "given a function", guards(idempotency.WithErrorPolicy(nil))},
	{"idempotency.WithErrorEncoder", "(nil)", "given a function", guards(idempotency.WithErrorEncoder(nil))},
	{"idempotency.WithHook", "(nil)", "given a function", guards(idempotency.WithHook(nil))},
	{"idempotency.WithInstance", `("")`, "1 to 255 bytes", guards(idempotency.WithInstance(""))},
	{"idempotency.WithInstance", "xxxx", "1 to 255 bytes", guards(idempotency.WithInstance(strings.Repeat("x", 256)))},
}

// guardsHTTP makes a middleware.
func guardsHTTP(opts ...httpguard.Option) func(*testing.T) error {
	return func(t *testing.T) error {
		_, err := httpguard.New("shop", guard(t), opts...)
		return err
	}
}

var ofHTTP = []wrong{
	{"httpguard.New", `service ""`, "the name of the service", func(t *testing.T) error {
		_, err := httpguard.New("", guard(t))
		return named("New", err)
	}},
	{"httpguard.New", "guard nil", "made by idempotency.New", func(*testing.T) error {
		_, err := httpguard.New("shop", nil)
		return named("New", err)
	}},
	{"httpguard.WithMethods", "()", "a method, such as POST", guardsHTTP(httpguard.WithMethods())},
	{"httpguard.WithMethods", `("POTS")`, "that IANA has registered", guardsHTTP(httpguard.WithMethods(http.MethodPut, "POTS"))},
	{"httpguard.WithMethods", `("GET")`, "methods that change something", guardsHTTP(httpguard.WithMethods(http.MethodGet))},
	{"httpguard.WithMaxRequest", "(0)", "at least 1", guardsHTTP(httpguard.WithMaxRequest(0))},
	{"httpguard.WithCaller", "nil", "a function over authenticated data", guardsHTTP(httpguard.WithCaller(nil))},
	{"httpguard.WithEndpoint", "nil", "a function", guardsHTTP(httpguard.WithEndpoint(nil))},
	{"httpguard.WithHeaders", `("Lo cation")`, "names of headers", guardsHTTP(httpguard.WithHeaders("Lo cation"))},
	{"httpguard.WithMark", "nil", "a function", guardsHTTP(httpguard.WithMark(nil))},
	{"httpkey.New", "option 0 is nil", "leave it out instead", func(*testing.T) error {
		_, err := httpkey.New(nil)
		return named("New", err)
	}},
	{"httpkey.WithMethods", `("post")`, "that IANA has registered, in capitals", fails(httpkey.New(httpkey.WithMethods("post")))},
	{"httpkey.WithMethods", "()", "a method, such as POST", fails(httpkey.New(httpkey.WithMethods()))},
}

// guardsGRPC makes a server's interceptors.
func guardsGRPC(opts ...grpcguard.ServerOption) func(*testing.T) error {
	return func(t *testing.T) error {
		_, err := grpcguard.NewServer("shop", guard(t), opts...)
		return err
	}
}

var ofGRPC = []wrong{
	{"grpcguard.NewServer", "guard nil", "made by idempotency.New", func(*testing.T) error {
		_, err := grpcguard.NewServer("shop", nil)
		return named("NewServer", err)
	}},
	{"grpcguard.NewClient", `service ""`, "the name of the service", func(*testing.T) error {
		_, err := grpcguard.NewClient("")
		return named("NewClient", err)
	}},
	{"grpcguard.WithCaller", "(nil)", "a function over authenticated data", guardsGRPC(grpcguard.WithCaller(nil))},
	{"grpcguard.WithRequired", `("Tip")`, "a full method such as", guardsGRPC(grpcguard.WithRequired("Tip"))},
	{"grpcguard.WithAlias", "([])", "names of the service", guardsGRPC(grpcguard.WithAlias())},
	{"grpcguard.WithAlias", `([""])`, "names of the service", guardsGRPC(grpcguard.WithAlias(""))},
	{"grpcguard.WithEndpoint", "(nil)", "must be a function", guardsGRPC(grpcguard.WithEndpoint(nil))},
	{"grpcguard.WithClientEndpoint", "(nil)", "must be a function", fails(grpcguard.NewClient("shop", grpcguard.WithClientEndpoint(nil)))},
	{"grpcguard.WithSafe", "()", "at least one full method", fails(grpcguard.NewClient("shop", grpcguard.WithSafe()))},
	{"grpcguard.WithSafe", `("/Tip")`, "a full method such as", fails(grpcguard.NewClient("shop", grpcguard.WithSafe("/Tip")))},
	{"grpcguard.WithKeyGenerator", "(nil)", "must be a function", fails(grpcguard.NewClient("shop", grpcguard.WithKeyGenerator(nil)))},
}

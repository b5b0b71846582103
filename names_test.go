package oncemore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/logtest"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// Purse is a bank whose endpoint has been renamed.
type Purse struct{ bank *Bank }

// Send is what Bank.Pay was.
func (w *Purse) Send(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	return w.bank.Pay(ctx, req, rsp)
}

// Watch is a stream.
func (w *Purse) Watch(_ context.Context, stream server.Stream) error {
	return stream.Send(wrapperspb.String("watched"))
}

// TestNamesOfEndpointsAreChecked when the service starts: one that is misspelt would
// switch deduplication off in silence.
func TestNamesOfEndpointsAreChecked(t *testing.T) {
	lease := idempotency.WithLease(time.Second)
	for name, tt := range map[string]struct {
		opts []wrapper.ServerOption
		safe []server.HandlerOption
		want []string // in the error; none if the service starts
	}{
		"right": {
			[]wrapper.ServerOption{
				wrapper.WithKeyMode(wrapper.KeyRequired, "Bank.Pay"), wrapper.WithEndpointSettings("Bank.Pay", lease),
				wrapper.WithRenamedEndpoint("Bank.Pay", "Bank.Transfer"), wrapper.WithKeyMode(wrapper.KeyOptional),
			},
			[]server.HandlerOption{wrapper.EndpointSafety("Bank.Pay", retryfunc.SafetyKeyed)}, nil,
		},
		"misspelt": { // all at once: go-micro takes three seconds to give up announcing
			[]wrapper.ServerOption{
				wrapper.WithKeyMode(wrapper.KeyRequired, "Bank.pay", "Bank.Pay", "Pay"),
				wrapper.WithEndpointSettings("Bank.Pya", lease), wrapper.WithEndpointSettings("orders", lease),
				wrapper.WithRenamedEndpoint("Purse.Pay", "Bank.Send"),
			}, nil,
			[]string{
				`WithKeyMode("Bank.pay"): must be an endpoint that is registered; the nearest is "Bank.Pay"`, `WithKeyMode("Pay")`,
				`WithEndpointSettings("Bank.Pya")`, `WithEndpointSettings("orders")`, `WithRenamedEndpoint("Purse.Pay")`,
			},
		},
		"safety of an endpoint": {
			nil, []server.HandlerOption{wrapper.EndpointSafety("Bank.Pai", retryfunc.SafetyKeyed)},
			[]string{`EndpointSafety("Bank.Pai")`, `"Bank.Pay"`},
		},
		"safety": {
			nil, []server.HandlerOption{wrapper.EndpointSafety("Bank.Pay", retryfunc.SafetyUnsafe)},
			[]string{`EndpointSafety("Bank.Pay", unsafe)`, "SafetyKeyed"},
		},
		"no safety": {nil, []server.HandlerOption{wrapper.EndpointSafety("Bank.Pay", 99)}, []string{`EndpointSafety("Bank.Pay", Safety(99))`}},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				in := newInbox()
				p := at.plugin(memory(t), oncemore.WithServer(tt.opts...))
				s := at.service("bank", p, func(s micro.Service) {
					must(t, micro.RegisterHandler(s.Server(), new(Bank), tt.safe...))
					subscribe(t, s, "orders", in.of("anybody"))
				})
				wantNames(t, at.begin(s), tt.want)
				if known, err := at.Registry.GetService("bank"); len(tt.want) > 0 && err == nil && len(known[0].Nodes) > 0 {
					t.Errorf("a service that does not start was announced: %+v", known[0].Nodes)
				}
				c := at.stock()
				publish(t, c, t.Context(), "orders", "hello")
				if n := in.count("anybody"); len(tt.want) > 0 && n > 0 {
					t.Errorf("a service that does not start has handled %d messages", n)
				}
			})
		})
	}
}

func wantNames(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 && err != nil {
		t.Errorf("the service did not start: %v", err)
	}
	for _, name := range want {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}

// TestHandlersOfEveryKindAreKnown: those that were registered before the plugin was
// installed, and those that are not announced.
func TestHandlersOfEveryKindAreKnown(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		p := at.plugin(memory(t), oncemore.WithServer(wrapper.WithKeyMode(wrapper.KeyRequired, "Bank.Pay", "Purse.Send", "Purse.Watch")))
		s := at.service("bank", nil, func(s micro.Service) { must(t, micro.RegisterHandler(s.Server(), new(Bank))) })
		s.Init(p.Options()...)
		must(t, micro.RegisterHandler(s.Server(), new(Purse), server.InternalHandler(true)))
		must(t, at.begin(s))
		if err := pay(t.Context(), at.stock(), "x"); err == nil || !strings.Contains(err.Error(), "needs an idempotency key") {
			t.Errorf("error %v, want that a key is needed", err)
		}
	})
}

// TestOptionsThatCannotBeRight are errors of the constructor.
func TestOptionsThatCannotBeRight(t *testing.T) {
	short := idempotency.WithRetention(time.Second)
	for want, opts := range map[string][]oncemore.Option{
		`WithAlias(""): must be a name`:       {oncemore.WithServer(wrapper.WithAlias("orders", ""))},
		`WithRenamedEndpoint("Bank.Pay", []`:  {oncemore.WithServer(wrapper.WithRenamedEndpoint("Bank.Pay"))},
		`WithRenamedEndpoint("Bank.Pay", [""`: {oncemore.WithServer(wrapper.WithRenamedEndpoint("Bank.Pay", ""))},
		`WithRenamedEndpoint(""): must be`:    {oncemore.WithServer(wrapper.WithRenamedEndpoint("", "Bank.Pay"))},
		`that "Bank.Pay" did not have`: {oncemore.WithServer(
			wrapper.WithRenamedEndpoint("Bank.Pay", "Bank.Send"), wrapper.WithRenamedEndpoint("Bank.Tip", "Bank.Send"))},
		`WithKeyMode("Bank.Send"): must be given the name of today, "Bank.Pay"`: {oncemore.WithServer(
			wrapper.WithRenamedEndpoint("Bank.Pay", "Bank.Send"), wrapper.WithKeyMode(wrapper.KeyRequired, "Bank.Send"))},
		"WithRetention(1s): must be at least the execution timeout": {oncemore.WithServer(wrapper.WithEndpointSettings("Bank.Pay", short))},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := oncemore.New(append(opts, oncemore.WithStore(memory(t)))...)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %q", err, want)
			}
		})
	}
	if _, err := oncemore.New(oncemore.WithStore(memory(t), short)); err == nil || !strings.Contains(err.Error(), "WithRetention(1s)") {
		t.Errorf("error %v, want one about the retention", err)
	}
}

// TestServiceOfAnotherName is called by its clients with keys that it takes for other
// services': they count for nothing, and that is told, or they do, if it is said to be
// its name, too.
func TestServiceOfAnotherName(t *testing.T) {
	for name, tt := range map[string]struct {
		opts []wrapper.ServerOption
		paid []string
		told int // events
	}{
		"unknown":  {nil, []string{"one", "one", "one"}, 3},
		"an alias": {[]wrapper.ServerOption{wrapper.WithAlias("giro", "tips")}, []string{"one"}, 0},
		"required": {[]wrapper.ServerOption{wrapper.WithKeyMode(wrapper.KeyRequired)}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				bank, out := new(Bank), new(logtest.Text)
				p, err := oncemore.New(oncemore.WithStore(memory(t), idempotency.WithHook(at.events.hook), idempotency.WithLogger(out.Logger())), oncemore.WithServer(tt.opts...))
				must(t, err)
				at.run("bank", p, func(s micro.Service) { must(t, micro.RegisterHandler(s.Server(), bank)) })
				at.alsoKnownAs("bank", "tips")
				c := at.wrapped()
				for range 3 {
					err := call(idempotency.WithKey(t.Context(), "tip-1"), c, "tips", "Bank.Pay", "one")
					if (err == nil) != (len(tt.paid) > 0) {
						t.Errorf("error %v, with %q paid", err, tt.paid)
					}
				}
				bank.want(t, "three calls under one key", tt.paid...)
				ignored := at.events.of(idempotency.EventIgnored)
				if len(ignored) != tt.told {
					t.Errorf("%d events of ignored keys, want %d", len(ignored), tt.told)
				}
				for _, event := range ignored {
					if !errors.Is(event.Err, idempotency.ErrForeignKey) || !strings.Contains(event.Err.Error(), `"tips/Bank.Pay"`) || event.Scope.Service != "bank" {
						t.Errorf("event %+v, want one about tips/Bank.Pay", event)
					}
				}
				warnings := 1
				if name == "an alias" {
					warnings = 0
				}
				if n := out.Count("WithAlias"); n != warnings {
					t.Errorf("%d warnings, want %d: %s", n, warnings, out)
				}
			})
		})
	}
}

// alsoKnownAs registers the nodes of a service under another name, as a proxy or a
// rename would.
func (at *town) alsoKnownAs(service, other string) {
	at.t.Helper()
	known, err := at.Registry.GetService(service)
	must(at.t, err)
	renamed := *known[0]
	renamed.Name = other
	must(at.t, at.Registry.Register(&renamed))
}

// TestHandlerWrapperOfAnotherName was silent once, and paid three times.
func TestHandlerWrapperOfAnotherName(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		bank, out := new(Bank), new(logtest.Text)
		p, err := oncemore.New(oncemore.WithStore(memory(t), idempotency.WithHook(at.events.hook), idempotency.WithLogger(out.Logger())))
		must(t, err)
		handlers, err := p.HandlerWrapper("banks")
		must(t, err)
		at.run("bank", nil, func(s micro.Service) {
			s.Init(micro.WrapHandler(handlers))
			must(t, micro.RegisterHandler(s.Server(), bank))
		})
		c := at.wrapped()
		for range 3 {
			must(t, pay(idempotency.WithKey(t.Context(), "k"), c, "one"))
		}
		bank.want(t, "as without a wrapper", "one", "one", "one")
		if n := len(at.events.of(idempotency.EventIgnored)); n != 3 {
			t.Errorf("%d events of ignored keys, want 3", n)
		}
		if n := out.Count("made_for=bank/Bank.Pay service=banks"); n != 1 {
			t.Errorf("%d warnings, want 1: %s", n, out)
		}
	})
}

// TestEndpointKeepsItsKeysAcrossARename: a call that was executed under the old name
// is a duplicate under the new one, and the other way round.
func TestEndpointKeepsItsKeysAcrossARename(t *testing.T) {
	for name, tt := range map[string]struct{ first, second, madeFor string }{
		"new name":                     {"Bank.Pay", "Purse.Send", "bank/Purse.Send"},
		"new name, key of the old one": {"Bank.Pay", "Purse.Send", "bank/Bank.Pay"},
		"back again":                   {"Purse.Send", "Bank.Pay", "bank/Bank.Pay"},
		"key for nobody":               {"Bank.Pay", "Purse.Send", ""},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				bank := new(Bank)
				p := at.plugin(memory(t), oncemore.WithServer(
					wrapper.WithRenamedEndpoint("Purse.Send", "Bank.Pay"), wrapper.WithKeyMode(wrapper.KeyRequired, "Purse.Send")))
				at.run("bank", p, func(s micro.Service) {
					must(t, micro.RegisterHandler(s.Server(), bank))
					must(t, micro.RegisterHandler(s.Server(), &Purse{bank}))
				})
				must(t, call(t.Context(), at.stockWith("k", ""), "bank", tt.first, "one"))
				must(t, call(t.Context(), at.stockWith("k", tt.madeFor), "bank", tt.second, "one"))
				bank.want(t, "two calls under one key", "one")
				if err := call(t.Context(), at.stock(), "bank", tt.second, "one"); err == nil {
					t.Errorf("%s takes calls without a key", tt.second)
				}
			})
		})
	}
}

// TestExecutionsDeriveTheSameKeysAcrossARename, so that what they call is not repeated
// by an execution under the new name.
func TestExecutionsDeriveTheSameKeysAcrossARename(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		var seen []string
		observe := func(next server.HandlerFunc) server.HandlerFunc {
			return func(ctx context.Context, req server.Request, rsp any) error {
				key, done, err := idempotency.CallKey(ctx, "ledger", "Ledger.Enter", nil, nil)
				if err != nil {
					return err
				}
				defer done(false)
				seen = append(seen, key.Value)
				return idempotency.NotDone(errors.Join(errors.New("once more"), next(ctx, req, rsp)))
			}
		}
		p := at.plugin(memory(t), oncemore.WithServer(wrapper.WithAlias("giro"), wrapper.WithRenamedEndpoint("Purse.Send", "Bank.Pay")))
		at.run("bank", p, func(s micro.Service) {
			s.Init(micro.WrapHandler(observe))
			must(t, micro.RegisterHandler(s.Server(), new(Bank)))
			must(t, micro.RegisterHandler(s.Server(), &Purse{new(Bank)}))
		})
		for endpoint, madeFor := range map[string][]string{
			"Bank.Pay": {"", "bank/Bank.Pay", "giro/Bank.Pay"}, "Purse.Send": {"bank/Purse.Send", "bank/Bank.Pay", "giro/Purse.Send"},
		} {
			for _, name := range madeFor {
				if err := call(t.Context(), at.stockWith("k", name), "bank", endpoint, "one"); err == nil || !strings.Contains(err.Error(), "once more") {
					t.Errorf("%s, %s: %v", endpoint, name, err)
				}
			}
		}
		for _, key := range seen {
			if key != seen[0] || len(seen) != 6 {
				t.Fatalf("derived %q, want six times the same key", seen)
			}
		}
	})
}

// TestKeyRequiredHoldsForStreams, which are executed as often as they are opened.
func TestKeyRequiredHoldsForStreams(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		p := at.plugin(memory(t), oncemore.WithServer(wrapper.WithKeyMode(wrapper.KeyRequired)))
		at.run("bank", p, func(s micro.Service) { must(t, micro.RegisterHandler(s.Server(), new(Purse))) })
		watch := func(ctx context.Context) (string, error) {
			c := at.stock()
			stream, err := c.Stream(ctx, c.NewRequest("bank", "Purse.Watch", wrapperspb.String(""), client.StreamingRequest()))
			if err != nil {
				return "", err
			}
			defer func() {
				if err := stream.Close(); err != nil {
					t.Log(err)
				}
			}()
			var rsp wrapperspb.StringValue
			err = stream.Recv(&rsp)
			return rsp.GetValue(), err
		}
		if got, err := watch(t.Context()); err == nil || !strings.Contains(err.Error(), "needs an idempotency key") {
			t.Errorf("without a key: %q, %v; want that one is needed", got, err)
		}
		keyed := metadata.NewContext(t.Context(), metadata.Metadata{idempotency.HeaderKey: "k"})
		for range 2 {
			if got, err := watch(keyed); err != nil || got != "watched" {
				t.Errorf("with a key: %q, %v", got, err)
			}
		}
	})
}

// TestPluginInstalledTwice on one service is an error when it starts.
func TestPluginInstalledTwice(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		for name, second := range map[string]*oncemore.Plugin{"itself": nil, "another": at.plugin(memory(t))} {
			p := at.plugin(memory(t))
			if second == nil {
				second = p
			}
			s := at.service("bank", p, func(s micro.Service) { s.Init(second.Options()...) })
			if err := at.begin(s); !errors.Is(err, wrapper.ErrWrappedTwice) {
				t.Errorf("%s: error %v, want %v", name, err, wrapper.ErrWrappedTwice)
			}
		}
	})
}

// TestServicesThatShareAServer: the last one counts, and the other does not start.
func TestServicesThatShareAServer(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		bank := new(Bank)
		first := at.service("bank", at.plugin(memory(t)), func(s micro.Service) { must(t, micro.RegisterHandler(s.Server(), bank)) })
		second := micro.NewService(micro.Client(at.stock()), micro.Server(first.Server()), micro.Name("bank"))
		second.Init(at.plugin(memory(t)).Options()...)
		if err := at.begin(second); !errors.Is(err, wrapper.ErrWrappedTwice) {
			t.Errorf("the second, over the first one's: error %v, want %v", err, wrapper.ErrWrappedTwice)
		}
	})
	shared := server.NewServer(server.Address("127.0.0.1:0"))
	var services []server.Server
	for range 2 {
		guard, err := idempotency.New(memory(t))
		must(t, err)
		s, err := wrapper.WrapServer(shared, guard)
		must(t, err)
		services = append(services, s)
	}
	if err := services[0].Start(); !errors.Is(err, wrapper.ErrServerShared) {
		t.Errorf("the first: error %v, want %v", err, wrapper.ErrServerShared)
	}
}

// TestDeclaredIsToldToTheStore, and nothing else is declared.
func TestDeclaredIsToldToTheStore(t *testing.T) {
	for name, tt := range map[string]struct {
		opts []wrapper.ServerOption
		safe []server.HandlerOption
		want bool
	}{
		"nothing":                  {nil, nil, false},
		"all required":             {[]wrapper.ServerOption{wrapper.WithKeyMode(wrapper.KeyRequired)}, nil, true},
		"required":                 {[]wrapper.ServerOption{wrapper.WithKeyMode(wrapper.KeyRequired, "Bank.Pay")}, nil, true},
		"optional by name":         {[]wrapper.ServerOption{wrapper.WithKeyMode(wrapper.KeyOptional, "Bank.Pay")}, nil, false},
		"settings":                 {[]wrapper.ServerOption{wrapper.WithEndpointSettings("Bank.Pay", idempotency.WithLease(time.Second))}, nil, true},
		"announced as keyed":       {nil, []server.HandlerOption{wrapper.EndpointSafety("Bank.Pay", retryfunc.SafetyKeyed)}, true},
		"announced as idempotent":  {nil, []server.HandlerOption{wrapper.EndpointSafety("Bank.Pay", retryfunc.SafetyIdempotent)}, false},
		"settings, by a new name":  {[]wrapper.ServerOption{wrapper.WithRenamedEndpoint("Bank.Pay", "Bank.Send")}, nil, false},
		"required, by an old name": {[]wrapper.ServerOption{wrapper.WithRenamedEndpoint("Bank.Pay", "Bank.Send"), wrapper.WithKeyMode(wrapper.KeyRequired, "Bank.Pay")}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				store := &claims{Store: memory(t)}
				p := at.plugin(store, oncemore.WithServer(tt.opts...))
				at.run("bank", p, func(s micro.Service) { must(t, micro.RegisterHandler(s.Server(), new(Bank), tt.safe...)) })
				must(t, call(t.Context(), at.stockWith("k", ""), "bank", "Bank.Pay", "one"))
				if got := store.declared; len(got) != 1 || got[0] != tt.want {
					t.Errorf("declared %v, want %v once", got, tt.want)
				}
			})
		})
	}
}

// claims is a store that remembers what it is told of its claims.
type claims struct {
	idempotency.Store
	mu       sync.Mutex
	declared []bool
}

func (c *claims) Begin(ctx context.Context, claim idempotency.Claim) (idempotency.Outcome, error) {
	c.mu.Lock()
	c.declared = append(c.declared, claim.Declared)
	c.mu.Unlock()
	return c.Store.Begin(ctx, claim)
}

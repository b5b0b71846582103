package oncemore_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// inbox counts the messages that subscribers handle, by who handles them.
type inbox struct {
	mu      sync.Mutex
	handled map[string][]string
}

func newInbox() *inbox { return &inbox{handled: make(map[string][]string)} }

// of returns a handler that handles messages for who.
func (i *inbox) of(who string) func(context.Context, *wrapperspb.StringValue) error {
	return func(_ context.Context, text *wrapperspb.StringValue) error {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.handled[who] = append(i.handled[who], text.GetValue())
		return nil
	}
}

func (i *inbox) count(who string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.handled[who])
}

// await waits until who has handled n messages; a broker may deliver later.
func (i *inbox) await(t *testing.T, who string, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); i.count(who) < n; {
		if time.Now().After(end) {
			t.Fatalf("%s handled %d messages, want %d", who, i.count(who), n)
		}
		<-time.After(time.Millisecond)
	}
}

func (i *inbox) want(t *testing.T, who string, n int) {
	t.Helper()
	if got := i.count(who); got != n {
		t.Errorf("%s handled %d messages, want %d", who, got, n)
	}
}

func publish(t *testing.T, c client.Client, ctx context.Context, topic, text string) { //nolint:revive // the test comes first
	t.Helper()
	must(t, c.Publish(ctx, c.NewMessage(topic, wrapperspb.String(text))))
}

// subscribe registers a subscriber; an error of it is the test's.
func subscribe(t *testing.T, s micro.Service, topic string, handle any) {
	t.Helper()
	must(t, micro.RegisterSubscriber(topic, s.Server(), handle))
}

// overHTTP gives a town go-micro's own broker.
func (at *town) overHTTP() {
	at.t.Helper()
	at.Broker = broker.NewBroker(broker.Registry(at.Registry))
	must(at.t, at.Broker.Connect())
	at.t.Cleanup(func() { must(at.t, at.Broker.Disconnect()) })
}

// TestInstallingDeduplicatesNoSubscriber: what is broadcast reaches every instance.
func TestInstallingDeduplicatesNoSubscriber(t *testing.T) {
	for name, connect := range map[string]func(*town){"memory": func(*town) {}, "http": (*town).overHTTP} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				connect(at)
				store, in := memory(t), newInbox()
				for i := range 3 {
					at.run("cache", at.plugin(store), func(s micro.Service) {
						subscribe(t, s, "orders", in.of(strconv.Itoa(i)))
					})
				}
				publish(t, at.wrapped(), t.Context(), "orders", "empty yourselves")
				for i := range 3 {
					in.await(t, strconv.Itoa(i), 1)
				}
			})
		})
	}
}

// TestSubscriptionsOfOneTopic each handle every message, once. (go-micro's own server
// hands each message of a topic to each of its subscribers as often as there are some.)
func TestSubscriptionsOfOneTopic(t *testing.T) {
	for name, connect := range map[string]func(*town){"memory": func(*town) {}, "http": (*town).overHTTP} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				connect(at)
				store, in := memory(t), newInbox()
				for range 2 {
					p := at.plugin(store)
					at.run("shop", p, func(s micro.Service) {
						for _, name := range []string{"mail", "audit"} {
							subscribe(t, s, "orders", oncemore.Subscriber(p, name, in.of(name)))
						}
					})
				}
				c := at.wrapped()
				for i := range 10 {
					publish(t, c, t.Context(), "orders", strconv.Itoa(i))
				}
				for _, name := range []string{"mail", "audit"} {
					in.await(t, name, 10)
				}
				for end := time.Now().Add(10 * time.Second); len(at.events.of(idempotency.EventReplayed)) < 20; {
					if time.Now().After(end) {
						break // the memory broker delivers before Publish returns; the other one later
					}
					<-time.After(time.Millisecond)
				}
				for _, name := range []string{"mail", "audit"} {
					in.want(t, name, 10)
				}
			})
		})
	}
}

// TestInheritedIsNoIdentity: what the metadata says of the call or message in whose
// handling one was published says nothing about that one.
func TestInheritedIsNoIdentity(t *testing.T) {
	for name, inherited := range map[string]metadata.Metadata{
		"id of the broker":      {"Micro-Id": "parent"},
		"key of the call":       {idempotency.HeaderKey: "parent", idempotency.HeaderFor: "shop/Order.Place"},
		"key of who knows what": {idempotency.HeaderKey: "parent"},
		"key of another topic":  {idempotency.HeaderKey: "parent", idempotency.HeaderFor: "topic/returns"},
		"malformed key":         {idempotency.HeaderKey: "a b", idempotency.HeaderFor: "topic/orders"},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				p, in := at.plugin(memory(t)), newInbox()
				at.run("mailer", p, func(s micro.Service) {
					subscribe(t, s, "orders", oncemore.Subscriber(p, "mail", in.of("mail")))
				})
				unwrapped := at.stock()
				for i := range 3 {
					publish(t, unwrapped, metadata.NewContext(t.Context(), inherited), "orders", strconv.Itoa(i))
				}
				in.want(t, "mail", 3)
				told := at.events.of(idempotency.EventUnidentified)
				if len(told) != 3 {
					t.Fatalf("%d events of messages without an identity, want 3", len(told))
				}
				if got, want := told[0].Scope, (idempotency.Scope{Service: "mailer", Endpoint: "topic/orders#mail"}); got != want {
					t.Errorf("the event is of %+v, want %+v", got, want)
				}
			})
		})
	}
}

// TestMessageKeys: what identifies a message, and for how long.
func TestMessageKeys(t *testing.T) {
	old := time.Now().Add(-72 * time.Hour)
	number := wrapper.WithMessageKey(func(_ context.Context, text *wrapperspb.StringValue) (string, error) {
		return text.GetValue(), nil
	})
	nothing := wrapper.WithMessageKey(func(context.Context, *wrapperspb.StringValue) (string, error) { return "", nil })
	for name, tt := range map[string]struct {
		wrapped bool
		ctx     func(context.Context, int) context.Context
		opts    []wrapper.SubscriptionOption
		handled int // of three publications of "7"
	}{
		"each publication its own":     {true, func(ctx context.Context, _ int) context.Context { return ctx }, nil, 3},
		"one key of the publisher's":   {true, func(ctx context.Context, _ int) context.Context { return idempotency.WithKey(ctx, "k") }, nil, 1},
		"three keys of the publishers": {true, func(ctx context.Context, i int) context.Context { return idempotency.WithKey(ctx, strconv.Itoa(i)) }, nil, 3},
		"older than the retention": {true, func(ctx context.Context, _ int) context.Context {
			return idempotency.WithIssued(idempotency.WithKey(ctx, "k"), old)
		}, nil, 1},
		"found in the message":              {false, func(ctx context.Context, _ int) context.Context { return ctx }, []wrapper.SubscriptionOption{number}, 1},
		"found, whatever the publisher's":   {true, func(ctx context.Context, _ int) context.Context { return ctx }, []wrapper.SubscriptionOption{number}, 1},
		"nothing found":                     {false, func(ctx context.Context, _ int) context.Context { return ctx }, []wrapper.SubscriptionOption{nothing}, 3},
		"nothing found but the publisher's": {true, func(ctx context.Context, _ int) context.Context { return idempotency.WithKey(ctx, "k") }, []wrapper.SubscriptionOption{nothing}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				p, in := at.plugin(memory(t)), newInbox()
				at.run("mailer", p, func(s micro.Service) {
					subscribe(t, s, "orders", oncemore.Subscriber(p, "mail", in.of("mail"), tt.opts...))
				})
				c := at.stock()
				if tt.wrapped {
					c = at.wrapped()
				}
				for i := range 3 {
					publish(t, c, tt.ctx(t.Context(), i), "orders", "7")
				}
				in.want(t, "mail", tt.handled)
			})
		})
	}
}

// TestMessageIsNeverRefusedForItsAge: a broker may keep a message for longer than the
// store keeps records. A call of that age is refused, since nobody knows whether it was
// executed; a message is handled, and once more when its record has expired.
func TestMessageIsNeverRefusedForItsAge(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		var ahead atomic.Int64 // of the store's clock
		store, err := memstore.New(memstore.WithClock(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }))
		must(t, err)
		p, in, bank := at.plugin(store), newInbox(), new(Bank)
		at.run("bank", p, func(s micro.Service) {
			must(t, micro.RegisterHandler(s.Server(), bank))
			subscribe(t, s, "orders", oncemore.Subscriber(p, "mail", in.of("mail")))
		})
		c := at.wrapped()
		old := func() context.Context { // of a publisher that publishes again
			return idempotency.WithIssued(idempotency.WithKey(t.Context(), "order-7"), time.Now().Add(-72*time.Hour))
		}
		if code := merrors.FromError(pay(old(), c, "one")).Code; code != http.StatusPreconditionFailed {
			t.Errorf("a call that old was answered with the code %d, want 412", code)
		}
		bank.want(t, "a call that is too old")
		for range 2 {
			publish(t, c, old(), "orders", "7")
		}
		in.want(t, "mail", 1)
		if n := len(at.events.of(idempotency.EventReplayed)); n != 1 {
			t.Errorf("%d messages were known, want the second", n)
		}
		ahead.Store(int64(48 * time.Hour))
		publish(t, c, old(), "orders", "7")
		in.want(t, "mail", 2)
		for _, e := range at.events.of(idempotency.EventRefused) {
			if strings.HasPrefix(e.Scope.Endpoint, "topic/") {
				t.Errorf("a message was refused: %+v", e)
			}
		}
	})
}

// TestTwoPublicationsUnderOneKey are two messages, and the same two when they are
// published again in the same order.
func TestTwoPublicationsUnderOneKey(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		p, in := at.plugin(memory(t)), newInbox()
		at.run("mailer", p, func(s micro.Service) {
			subscribe(t, s, "orders", oncemore.Subscriber(p, "mail", in.of("mail")))
		})
		c := at.wrapped()
		for run := range 2 {
			ctx := idempotency.WithKey(t.Context(), "order-7")
			for _, text := range []string{"paid", "shipped", "paid"} {
				publish(t, c, ctx, "orders", text)
			}
			if in.want(t, "mail", 3); t.Failed() {
				t.Fatalf("after run %d", run+1)
			}
		}
	})
}

// TestPublicationsOfOneExecution: a handler that runs again publishes the same
// messages again.
func TestPublicationsOfOneExecution(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		p, in, shop, runs := at.plugin(memory(t)), newInbox(), at.openShop(), 0
		at.run("mailer", p, func(s micro.Service) {
			subscribe(t, s, "orders", oncemore.Subscriber(p, "mail", in.of("mail")))
		})
		shop.order = func(ctx context.Context) error {
			for _, text := range []string{"paid", "shipped", "shipped"} {
				publish(t, shop.client, ctx, "orders", text)
			}
			if runs++; runs == 1 {
				return idempotency.NotDone(errors.New("once more, please"))
			}
			return nil
		}
		c := at.stockWith("order-7", "shop/Shop.Order")
		if err := call(t.Context(), c, "shop", "Shop.Order", "x"); err == nil {
			t.Fatal("the first run ended well")
		}
		must(t, call(t.Context(), c, "shop", "Shop.Order", "x"))
		in.want(t, "mail", 3)
	})
}

// TestWhatIsFoundIsNeverMistaken for another: what is no key becomes one.
func TestWhatIsFoundIsNeverMistaken(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		p, in := at.plugin(memory(t)), newInbox()
		at.run("mailer", p, func(s micro.Service) {
			subscribe(t, s, "orders", oncemore.Subscriber(p, "mail", in.of("mail"),
				wrapper.WithMessageKey(func(_ context.Context, text *wrapperspb.StringValue) (string, error) { return text.GetValue(), nil })))
		})
		c := at.stock()
		all := []string{"7", `"7"`, "order seven", "order  seven", "sieben · 7", strings.Repeat("7", 255), strings.Repeat("7", 256)}
		for range 2 {
			for _, text := range all {
				publish(t, c, t.Context(), "orders", text)
			}
		}
		in.want(t, "mail", len(all))
	})
}

// TestUndecidedGoesBackToTheBroker, and nothing is swallowed.
func TestUndecidedGoesBackToTheBroker(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		down := errors.New("connection refused")
		p, in := at.plugin(unreachable{memory(t), down}), newInbox()
		at.run("mailer", p, func(s micro.Service) {
			subscribe(t, s, "orders", oncemore.Subscriber(p, "mail", in.of("mail")))
			subscribe(t, s, "returns", oncemore.Subscriber(p, "mail", in.of("mail"),
				wrapper.WithMessageKey(func(context.Context, *wrapperspb.StringValue) (string, error) { return "", down })))
			subscribe(t, s, "bills", oncemore.Subscriber(p, "mail", func(context.Context, *wrapperspb.StringValue) error { panic("storm") }))
		})
		c := at.wrapped()
		for topic, why := range map[string]string{"orders": "unavailable", "returns": "refused", "bills": ""} {
			err := c.Publish(t.Context(), c.NewMessage(topic, wrapperspb.String("hello")))
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: the broker was told %v, want an error with %q", topic, err, why)
			}
		}
		in.want(t, "mail", 0)
	})
}

// unreachable is a store that can tell who it is, and do nothing.
type unreachable struct {
	idempotency.Store
	err error
}

func (u unreachable) Begin(context.Context, idempotency.Claim) (idempotency.Outcome, error) {
	return idempotency.Outcome{}, idempotency.NotApplied(u.err)
}

// TestSubscriptionsAreChecked when they are registered, and again when the service
// starts, in case that error was dropped.
func TestSubscriptionsAreChecked(t *testing.T) {
	handle := newInbox().of("anybody")
	mail := func(opts ...wrapper.SubscriptionOption) func(*oncemore.Plugin) any {
		return func(p *oncemore.Plugin) any { return oncemore.Subscriber(p, "mail", handle, opts...) }
	}
	named := func(name string) func(*oncemore.Plugin) any {
		return func(p *oncemore.Plugin) any { return oncemore.Subscriber(p, name, handle) }
	}
	for name, tt := range map[string]struct {
		topics      []string
		subscribers []func(*oncemore.Plugin) any
		want        string // in the error; empty for none
	}{
		"two names":            {[]string{"orders", "orders"}, []func(*oncemore.Plugin) any{named("mail"), named("audit")}, ""},
		"one name, two topics": {[]string{"orders", "returns"}, []func(*oncemore.Plugin) any{named("mail"), named("mail")}, ""},
		"one name twice": {
			[]string{"orders", "orders"}, []func(*oncemore.Plugin) any{named("mail"), named("mail")},
			`Subscriber("mail"): must be the only one of its name with topic "orders"`,
		},
		"no name":         {[]string{"orders"}, []func(*oncemore.Plugin) any{named("")}, `Subscriber(""): must be given a name`},
		"a name with #":   {[]string{"orders"}, []func(*oncemore.Plugin) any{named("a#b")}, `Subscriber("a#b"): must be given a name`},
		"nil option":      {[]string{"orders"}, []func(*oncemore.Plugin) any{mail(nil)}, `Subscriber("mail"): nil option`},
		"nil message key": {[]string{"orders"}, []func(*oncemore.Plugin) any{mail(wrapper.WithMessageKey[wrapperspb.StringValue](nil))}, "WithMessageKey(<nil>)"},
		"another's message": {[]string{"orders"}, []func(*oncemore.Plugin) any{mail(wrapper.WithMessageKey(
			func(context.Context, *wrapperspb.Int64Value) (string, error) { return "", nil }))},
			"WithMessageKey(*wrapperspb.Int64Value): must be for a *wrapperspb.StringValue"},
		"wrong setting": {[]string{"orders"}, []func(*oncemore.Plugin) any{mail(wrapper.WithSubscriptionSettings(idempotency.WithLease(0)))}, "WithLease(0s)"},
		"no function": {[]string{"orders"}, []func(*oncemore.Plugin) any{func(p *oncemore.Plugin) any {
			return oncemore.Subscriber[wrapperspb.StringValue](p, "mail", nil)
		}}, `Subscriber("mail"): must be given a function`},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				p := at.plugin(memory(t))
				var registered error
				s := at.service("mailer", p, func(s micro.Service) {
					for i, topic := range tt.topics {
						registered = errors.Join(registered, micro.RegisterSubscriber(topic, s.Server(), tt.subscribers[i](p)))
					}
				})
				for when, err := range map[string]error{"when it is registered": registered, "when the service starts": at.begin(s)} {
					if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
						t.Errorf("%s: error %v, want %q", when, err, tt.want)
					}
				}
			})
		})
	}
}

// TestSubscribersNeedAStore, and a server that is wrapped.
func TestSubscribersNeedAStore(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		p, in := at.plugin(nil), newInbox()
		s := at.service("mailer", p, func(s micro.Service) {
			subscribe(t, s, "orders", oncemore.Subscriber(p, "mail", in.of("mail")))
		})
		if err := at.begin(s); !errors.Is(err, oncemore.ErrNoStore) || !strings.Contains(err.Error(), "mail") {
			t.Errorf("the service started with %v, want %v", err, oncemore.ErrNoStore)
		}
		at.run("bare", nil, func(s micro.Service) {
			subscribe(t, s, "returns", oncemore.Subscriber(nil, "mail", in.of("mail")))
		})
		c := at.stock()
		err := c.Publish(t.Context(), c.NewMessage("returns", wrapperspb.String("hello")))
		if err == nil || !strings.Contains(err.Error(), "not wrapped") {
			t.Errorf("the broker was told %v, want that the server is not wrapped", err)
		}
		in.want(t, "mail", 0)
	})
}

// TestSubscriberOfAServerWrappedLater works all the same, and is still the only one
// of its name.
func TestSubscriberOfAServerWrappedLater(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		p, in := at.plugin(memory(t)), newInbox()
		s := at.service("mailer", nil, func(s micro.Service) {
			for _, who := range []string{"first", "second"} {
				subscribe(t, s, "orders", oncemore.Subscriber(p, "mail", in.of(who)))
			}
		})
		s.Init(p.Options()...)
		must(t, at.begin(s))
		c := at.wrapped()
		err := c.Publish(t.Context(), c.NewMessage("orders", wrapperspb.String("hello")))
		if err == nil || !strings.Contains(err.Error(), "must be the only one of its name") {
			t.Errorf("the broker was told %v, want that there are two of one name", err)
		}
		if n := in.count("first") + in.count("second"); n != 1 {
			t.Errorf("handled %d times, want 1", n)
		}
	})
}

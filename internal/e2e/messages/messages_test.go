// Package messages has a broker deliver messages twice, to instances that share
// a store.
package messages

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	grpcserver "github.com/go-micro/plugins/v4/server/grpc"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/servertest"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func TestMain(m *testing.M) { bank.Main(m, fixture.WithSetup(mailerSetup, setUpMailer)) }

const (
	service = "mailer"
	orders  = "orders"
	returns = "returns"
)

// mailer is two instances of a service that subscribes to two topics, and a
// publisher. They share a queue and a Redis.
type mailer struct {
	*queue
	t         *testing.T
	publisher client.Client
	stores    []*redisstore.Store // of the instances

	mu      sync.Mutex
	handled map[string][]string // topic → texts
	handle  func(context.Context) error
	running chan struct{} // receives when an instance sees another one handle its message
}

// observed tells when a message is being handled elsewhere.
type observed struct {
	*redisstore.Store
	running chan<- struct{}
}

// Begin is the store's.
func (o observed) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	out, err := o.Store.Begin(ctx, c)
	if out.State == idempotency.Running {
		o.running <- struct{}{}
	}
	return out, err
}

func eachTransport(t *testing.T, test func(t *testing.T, m *mailer), settings ...idempotency.Option) {
	t.Helper()
	redis := servertest.StartRedis(t)
	for _, name := range fixture.Transports() {
		t.Run(name, func(t *testing.T) {
			m := &mailer{queue: newQueue(), t: t, handled: make(map[string][]string), running: make(chan struct{}, 1000)}
			for range 2 {
				m.startInstance(name, redis.URL(), settings...)
			}
			m.publisher = bank.Wrap(t, fixture.NewClient(t, name, nil, client.Broker(m.queue)))
			test(t, m)
		})
	}
}

// startInstance starts a server with a store of its own, as another process
// would have it, in the same Redis.
func (m *mailer) startInstance(name, url string, settings ...idempotency.Option) {
	m.t.Helper()
	store, err := redisstore.Open(m.t.Context(), url, redisstore.WithPrefix(m.t.Name()+":"))
	must(m.t, err)
	m.t.Cleanup(func() { must(m.t, store.Close()) })
	m.stores = append(m.stores, store)
	guard, err := idempotency.New(observed{store, m.running}, settings...)
	must(m.t, err)
	m.t.Cleanup(func() { must(m.t, guard.Drain(context.Background())) })
	opts := []server.Option{
		server.Name(service), server.Address("127.0.0.1:0"), server.Advertise("127.0.0.1:1"),
		server.Registry(fixture.NewRegistry(nil)), server.Broker(m.queue),
		server.Transport(transport.NewHTTPTransport()),
	}
	newServer := server.NewServer
	if name == fixture.GRPC {
		newServer = grpcserver.NewServer
	}
	s, err := wrapper.WrapServer(newServer(opts...), guard)
	must(m.t, err)
	for _, topic := range []string{orders, returns} {
		handle := func(ctx context.Context, text *wrapperspb.StringValue) error {
			return m.consume(ctx, topic, text.GetValue())
		}
		must(m.t, s.Subscribe(s.NewSubscriber(topic, wrapper.Subscriber("mail", handle))))
	}
	must(m.t, s.Start())
	m.t.Cleanup(func() { must(m.t, s.Stop()) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *mailer) consume(ctx context.Context, topic, text string) error {
	m.mu.Lock()
	m.handled[topic] = append(m.handled[topic], text)
	handle := m.handle
	m.mu.Unlock()
	if handle == nil {
		return nil
	}
	return handle(ctx)
}

// publish publishes a message; an empty key is none.
func (m *mailer) publish(topic, key string) {
	m.t.Helper()
	ctx := m.t.Context()
	if key != "" {
		ctx = idempotency.WithKey(ctx, key)
	}
	must(m.t, m.publisher.Publish(ctx, m.publisher.NewMessage(topic, wrapperspb.String("hello"))))
}

// want checks how often messages of a topic were handled.
func (m *mailer) want(topic string, n int) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := m.handled[topic]; len(got) != n {
		m.t.Errorf("%s: handled %d times, want %d", topic, len(got), n)
	}
}

// TestRedelivered: the broker delivers a message to one instance, and again to
// the other, and once more.
func TestRedelivered(t *testing.T) {
	eachTransport(t, func(t *testing.T, m *mailer) {
		m.publish(orders, "order-1")
		for range 3 {
			must(t, m.deliver(orders))
		}
		m.want(orders, 1)
	})
}

// TestRedeliveredMeanwhile: the second instance gets the message while the first
// is at it. It must not say that it is handled before it is.
func TestRedeliveredMeanwhile(t *testing.T) {
	eachTransport(t, func(t *testing.T, m *mailer) {
		begun, end := make(chan struct{}), make(chan struct{})
		var handled atomic.Bool
		m.handle = func(context.Context) error {
			close(begun)
			<-end
			handled.Store(true)
			return nil
		}
		m.publish(orders, "order-1")
		var deliveries sync.WaitGroup
		deliver := func() {
			if err := m.deliver(orders); err != nil || !handled.Load() {
				t.Errorf("the broker was told %v; handled by then: %v", err, handled.Load())
			}
		}
		deliveries.Go(deliver)
		<-begun
		deliveries.Go(deliver)
		for range 2 { // who looks twice waits
			<-m.running
		}
		close(end)
		deliveries.Wait()
		m.want(orders, 1)
	})
}

// TestRedeliveredWithoutKey: a message that go-micro's own client published is known
// by nothing, and handled as often as it comes.
func TestRedeliveredWithoutKey(t *testing.T) {
	eachTransport(t, func(t *testing.T, m *mailer) {
		m.publisher = fixture.NewClient(t, fixture.MUCP, nil, client.Broker(m.queue))
		m.publish(orders, "")
		for range 3 {
			must(t, m.deliver(orders))
		}
		m.want(orders, 3)
	})
}

// TestOwnerLosesItsStore in the middle of a message: nobody knows how far it came,
// and the other instance handles the message again as soon as its lease has ended.
func TestOwnerLosesItsStore(t *testing.T) {
	eachTransport(t, func(t *testing.T, m *mailer) {
		begun, end := make(chan struct{}), make(chan struct{})
		m.handle = func(context.Context) error {
			close(begun)
			<-end
			return errors.New("cut short")
		}
		m.publish(orders, "order-1")
		var first sync.WaitGroup
		first.Go(func() {
			if err := m.deliver(orders); err == nil {
				t.Error("the broker was told that the message is handled, and nobody can know that")
			}
		})
		<-begun
		m.mu.Lock()
		m.handle = nil
		m.mu.Unlock()
		must(t, m.stores[0].Close())
		if err := m.deliver(orders); err != nil {
			t.Errorf("the other instance answered %v", err)
		}
		m.want(orders, 2)
		close(end)
		first.Wait()
		if err := m.deliver(orders); err == nil {
			t.Error("without its store the first instance cannot know that the message is handled, and says so")
		}
		must(t, m.deliver(orders))
		m.want(orders, 2)
	}, idempotency.WithLease(500*time.Millisecond))
}

// TestPublishedTwice: under one key the second publication is the first; without
// a key, and under another one, it is another message.
func TestPublishedTwice(t *testing.T) {
	eachTransport(t, func(t *testing.T, m *mailer) {
		for i, tt := range []struct {
			key     string
			handled int // in all
		}{{"order-1", 1}, {"order-1", 1}, {"order-2", 2}, {"", 3}, {"", 4}} {
			m.publish(orders, tt.key)
			must(t, m.deliver(orders))
			if m.want(orders, tt.handled); t.Failed() {
				t.Fatalf("after publication %d, under %q", i+1, tt.key)
			}
		}
	})
}

// TestOneKeyTwoTopics: a key says nothing about messages of another topic.
func TestOneKeyTwoTopics(t *testing.T) {
	eachTransport(t, func(t *testing.T, m *mailer) {
		for _, topic := range []string{orders, returns} {
			m.publish(topic, "order-1")
			must(t, m.deliver(topic))
			m.want(topic, 1)
		}
	})
}

// TestFailedIsRedelivered: a handler's error is for the broker, who delivers
// again, and then it is handled.
func TestFailedIsRedelivered(t *testing.T) {
	eachTransport(t, func(t *testing.T, m *mailer) {
		m.handle = func(context.Context) error { return errors.New("no mail today") }
		m.publish(orders, "order-1")
		if err := m.deliver(orders); err == nil {
			t.Error("the broker was told that the message is handled")
		}
		m.handle = nil
		for range 2 {
			must(t, m.deliver(orders))
		}
		m.want(orders, 2) // once in vain
	})
}

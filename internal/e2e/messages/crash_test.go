//go:build linux

package messages

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/servertest"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// The environment of an instance in a process of its own.
const (
	mailerSetup = "mailer"
	redisURL    = "MAILER_REDIS"
	mailFile    = "MAILER_FILE" // which gets a line for each message that is handled
	mailHangs   = "MAILER_HANGS"
)

// Mailer delivers messages to the subscriber in its own process. It is exported
// because go-micro names endpoints after the handler's type.
type Mailer struct{ broker broker.Broker }

// Deliver delivers a message under a key, and answers what the broker was told.
func (m *Mailer) Deliver(_ context.Context, key, _ *wrapperspb.StringValue) error {
	body, err := proto.Marshal(wrapperspb.String("hello"))
	if err != nil {
		return err
	}
	return m.broker.Publish(orders, &broker.Message{Body: body, Header: map[string]string{
		"Content-Type": "application/protobuf", "Micro-Topic": orders,
		idempotency.HeaderKey: key.GetValue(), idempotency.HeaderFor: "topic/" + orders,
	}})
}

// setUpMailer makes an instance, inside of its process.
func setUpMailer(i fixture.Instance) ([]server.Option, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store, err := redisstore.Open(ctx, os.Getenv(redisURL))
	if err != nil {
		return nil, err
	}
	guard, err := idempotency.New(store, idempotency.WithLease(time.Second))
	if err != nil {
		return nil, err
	}
	wrap, err := wrapper.NewSubscriberWrapper(i.Service, guard)
	if err != nil {
		return nil, err
	}
	i.Subscribe(orders, wrapper.Subscriber("mail", handleMail))
	memory := broker.NewMemoryBroker()
	i.Handle(&Mailer{memory})
	return []server.Option{server.Broker(memory), server.WrapSubscriber(wrap)}, nil
}

// handleMail notes the message, and then hangs where it should.
func handleMail(ctx context.Context, text *wrapperspb.StringValue) (err error) {
	file, err := os.OpenFile(os.Getenv(mailFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteString(text.GetValue() + "\n"); err != nil {
		return err
	}
	if os.Getenv(mailHangs) != "" {
		<-ctx.Done()
	}
	return ctx.Err()
}

// TestConsumerIsKilled in the middle of a message: the next instance that gets it
// handles it, once, and nobody has to resolve anything.
func TestConsumerIsKilled(t *testing.T) {
	redis := servertest.StartRedis(t)
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "mail")
			instance := func(hangs string) (*fixture.Node, client.Client) {
				node := fixture.Start(t, fixture.Config{Transport: transport, Setup: mailerSetup, Env: []string{
					redisURL + "=" + redis.URL(), mailFile + "=" + file, mailHangs + "=" + hangs,
				}})
				return node, fixture.NewClient(t, transport, []string{node.Address()},
					client.Retries(0), client.RequestTimeout(time.Minute),
					func(o *client.Options) { o.CallOptions.ConnectionTimeout = time.Minute })
			}
			deliver := func(c client.Client) error {
				_, err := fixture.Call(t.Context(), c, "Mailer.Deliver", "order-"+transport)
				return err
			}
			victim, first := instance("yes")
			ended := make(chan error, 1)
			go func() { ended <- deliver(first) }()
			for handled(t, file) == 0 {
				<-time.After(time.Millisecond)
			}
			victim.Kill()
			if err := <-ended; err == nil {
				t.Error("the broker was told by a dead instance that the message is handled")
			}
			_, second := instance("")
			for i := range 3 {
				if err := deliver(second); err != nil {
					t.Errorf("delivery %d to the other instance: %v", i+1, err)
				}
			}
			if n := handled(t, file); n != 2 {
				t.Errorf("handled %d times, want once in vain and once to the end", n)
			}
		})
	}
}

// handled counts how often a message began to be handled.
func handled(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

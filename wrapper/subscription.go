package wrapper

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Subscription is a subscriber that handles each message once. Make it with
// Subscriber, and give it to micro.RegisterSubscriber or server.NewSubscriber.
type Subscription[T any] struct {
	*subscription
	handle func(context.Context, *T) error
}

// Subscriber returns a subscriber that hands each message to handle once, however
// often the broker delivers it and to whichever instance: as far as the store reaches
// of the guard that the server was wrapped with, by WrapServer, NewSubscriberWrapper
// or the plugin. Where it was not, every message is an error to the broker.
//
// name is what tells the subscription from others: a record belongs to the service,
// the topic, the name and the message. All instances of a service use the same one.
// Two subscriptions of one name to one topic in a process are an error. What every
// instance must see, such as the order to empty a cache, is not for this.
//
// A message is known by the key that its publisher minted for its topic (a wrapped
// client does so when it publishes), or by what WithMessageKey finds in it. One that
// has neither is handled as often as it comes, which idempotency.EventUnidentified
// tells, and one warning.
//
// A message is never refused for its age. What handle returns as an error, or panics
// with, goes to the broker, is not recorded, and has it handled again when it is
// delivered again. One whose handling was cut short by the death of its process is
// handled again, too (idempotency.TakeoverRerun): WithSubscriptionSettings changes
// that and all else. What cannot be decided, because the store does not answer or the
// message is being handled elsewhere, goes back to the broker as an error.
//
// What is wrong with the arguments is an error of Subscribe and Start of a server that
// WrapServer returned, and else of every message.
func Subscriber[T any](name string, handle func(context.Context, *T) error, opts ...SubscriptionOption) *Subscription[T] {
	s := &Subscription[T]{subscription: newSubscription(name, reflect.TypeFor[*T](), opts), handle: handle}
	if handle == nil {
		s.err = errors.Join(s.err, fmt.Errorf("wrapper: Subscriber(%q): must be given a function", name))
	}
	return s
}

// Handle handles one message. It is what go-micro calls.
func (s *Subscription[T]) Handle(ctx context.Context, msg *T) error {
	return s.once(ctx, msg, func(ctx context.Context) error { return s.handle(ctx, msg) })
}

// function is Handle for a server that would name the endpoint after its type.
func (s *Subscription[T]) function() any { return s.Handle }

// namedSubscription is a *Subscription of whatever type of message.
type namedSubscription interface {
	function() any
	self() *subscription
}

// SubscriptionOptions is what the SubscriptionOption functions set.
type SubscriptionOptions struct {
	identify func(ctx context.Context, msg any) (string, error) // nil: the publisher's key alone
	of       reflect.Type                                       // what identify takes
	settings []idempotency.Option
	errs     []error
}

// SubscriptionOption configures Subscriber.
type SubscriptionOption func(*SubscriptionOptions)

// WithMessageKey sets what finds the identity of a message in it, such as the number
// of an order, for publishers that give it none. Messages of one identity are one
// message. Where it returns the empty string, the publisher's key counts. Its error
// goes to the broker. T must be the type of the subscription's messages.
func WithMessageKey[T any](identity func(ctx context.Context, msg *T) (string, error)) SubscriptionOption {
	return func(o *SubscriptionOptions) {
		o.of, o.identify = reflect.TypeFor[*T](), nil
		if identity == nil {
			return
		}
		o.identify = func(ctx context.Context, msg any) (string, error) {
			typed, ok := msg.(*T)
			if !ok {
				return "", fmt.Errorf("wrapper: WithMessageKey takes a %T, and the message is a %T", typed, msg)
			}
			return identity(ctx, typed)
		}
	}
}

// WithSubscriptionSettings changes the guard's settings for the subscription, for
// instance how long it remembers messages, or what becomes of orphans.
func WithSubscriptionSettings(settings ...idempotency.Option) SubscriptionOption {
	return func(o *SubscriptionOptions) {
		if len(settings) == 0 {
			o.errs = append(o.errs, wrongOption("WithSubscriptionSettings", "", "given at least one setting"))
		}
		o.settings = append(o.settings, settings...)
	}
}

// subscription is a Subscription without the type of its messages.
type subscription struct {
	SubscriptionOptions
	name string
	err  error // what is wrong with it
}

func (s *subscription) self() *subscription { return s }

func newSubscription(name string, of reflect.Type, opts []SubscriptionOption) *subscription {
	s := &subscription{name: name}
	var errs []error
	if !isSubscriptionName(name) {
		errs = append(errs, wrongOption("Subscriber", fmt.Sprintf("%q", name),
			"given a name of 1 to 100 letters, digits, dots, dashes and underscores"))
	}
	for _, opt := range opts {
		if opt == nil {
			errs = append(errs, fmt.Errorf("wrapper: Subscriber(%q): nil option: leave it out instead", name))
			continue
		}
		opt(&s.SubscriptionOptions)
	}
	errs = append(errs, s.errs...)
	switch {
	case s.of != nil && s.identify == nil:
		errs = append(errs, wrongOption("WithMessageKey", nil, "given a function"))
	case s.of != nil && s.of != of:
		errs = append(errs, wrongOption("WithMessageKey", s.of,
			fmt.Sprintf("for a %v, of which the messages of Subscriber(%q) are", of, name)))
	}
	s.err = errors.Join(errs...)
	return s
}

func isSubscriptionName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 100
}

var errNotWrapped = errors.New("wrapper: the server of this subscription is not wrapped: " +
	"install the plugin with a store, or use WrapServer or NewSubscriberWrapper")

// once has a message handled, if it was not before.
func (s *subscription) once(ctx context.Context, msg any, handle func(context.Context) error) error {
	if s.err != nil {
		return s.err
	}
	arrived, ok := deliveryFrom(ctx)
	if !ok {
		return errNotWrapped
	}
	d, topic := arrived.deduper, arrived.message.Topic()
	guard, err := d.messages.guardOf(topic, s)
	if err != nil {
		return err
	}
	key, err := s.identity(ctx, msg, arrived)
	if err != nil {
		return err
	}
	scope := idempotency.Scope{Service: d.service, Endpoint: topicName(topic) + "#" + s.name, Key: key}
	if key == "" {
		d.reportUnidentified(ctx, scope)
		return handle(ctx)
	}
	_, err = guard.Do(ctx, idempotency.Call{
		Service: scope.Service, Endpoint: scope.Endpoint, Key: idempotency.Key{Value: key}, Body: msg,
	}, func(ctx context.Context) error { return d.errors.ofHandler(nil, handle(ctx)) })
	return d.answerBroker(err)
}

// identity is what tells the message from others, or empty if nothing does.
func (s *subscription) identity(ctx context.Context, msg any, arrived *delivery) (string, error) {
	if s.identify == nil {
		return arrived.publishersKey(), nil
	}
	found, err := s.identify(ctx, msg)
	if err != nil || found == "" {
		return arrived.publishersKey(), err
	}
	return asKey(found), nil
}

// asKey is s if it is a key, and else one that no other string gives.
func asKey(s string) string {
	if key, err := idempotency.ParseKey(s); err == nil && key == s {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "h1-" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func (d *deduper) reportUnidentified(ctx context.Context, scope idempotency.Scope) {
	d.guard.Report(ctx, idempotency.Event{Kind: idempotency.EventUnidentified, Scope: scope})
	if d.warned.first(scope) {
		d.guard.Logger().WarnContext(ctx, "oncemore: nothing tells this message from others, so it is handled as often as "+
			"it comes: publish it through a wrapped client, or find its identity with wrapper.WithMessageKey",
			"service", scope.Service, "subscription", scope.Endpoint)
	}
}

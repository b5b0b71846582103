package wrapper

import (
	"context"
	"errors"

	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport/headers"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// NewSubscriberWrapper returns a wrapper for micro.WrapSubscriber or
// server.WrapSubscriber. By itself it deduplicates nothing: every subscriber handles
// every message that the broker delivers to it. It keeps the key of a message out of
// what its handlers publish and call, answers their panics with an error, and gives
// those that Subscriber made what they need to handle each message once.
//
// WithKeyMode, WithEndpointSettings and WithCaller are for calls, and say nothing
// about messages. The error names every option that is wrong, its value and what is
// allowed. The wrapper is safe for concurrent use.
func NewSubscriberWrapper(service string, guard *idempotency.Guard, opts ...ServerOption) (server.SubscriberWrapper, error) {
	d, err := newDeduper(service, guard, opts)
	if err != nil {
		return nil, err
	}
	return d.wrapSubscriber, nil
}

func (d *deduper) wrapSubscriber(next server.SubscriberFunc) server.SubscriberFunc {
	return func(ctx context.Context, msg server.Message) error {
		return d.deliver(ctx, msg, next)
	}
}

// delivery is one message on its way to a subscriber. A server shows a subscriber
// neither its topic nor its headers.
type delivery struct {
	deduper *deduper
	message server.Message
	key     idempotency.Key // of its metadata, whomever it was minted for
}

type deliveryKey struct{}

func deliveryFrom(ctx context.Context) (*delivery, bool) {
	d, ok := ctx.Value(deliveryKey{}).(*delivery)
	return d, ok
}

// deliver hands one message to a subscriber.
func (d *deduper) deliver(ctx context.Context, msg server.Message, next server.SubscriberFunc) (answer error) {
	defer d.answerPanic(ctx, msg.Topic(), &answer)
	if outer, ok := deliveryFrom(ctx); ok && outer.message.Topic() == msg.Topic() {
		return next(ctx, msg) // wrapped twice: the key is gone from the metadata
	}
	ctx, in, err := take(ctx)
	if err != nil {
		in.key = idempotency.Key{} // what is malformed tells nothing from anything
	}
	ctx = context.WithValue(ctx, deliveryKey{}, &delivery{deduper: d, message: msg, key: in.key})
	return d.errors.passOn(next(ctx, msg))
}

// publishersKey is the key that the message was published with, if it was minted for
// its topic: any other was inherited from the call or the message in whose handling it
// was published. A message that came through an exchange of another name says in its
// header which topic that was.
func (d *delivery) publishersKey() string {
	for _, topic := range []string{d.message.Topic(), d.message.Header()[headers.Message]} {
		if d.key.For == topicName(topic) {
			return d.key.Value
		}
	}
	return ""
}

// topicName is what a key is minted for that belongs to a message.
func topicName(topic string) string { return idempotency.CallName(topicService, topic) }

// answerBroker keeps a broker from delivering again what was handled, though that is
// all that is known of it.
func (d *deduper) answerBroker(err error) error {
	if errors.Is(err, idempotency.ErrNoReply) {
		return nil
	}
	return d.errors.answer(err)
}

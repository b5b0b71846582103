package wrapper

import (
	"context"
	"errors"
	"reflect"

	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport/headers"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// NewSubscriberWrapper returns a wrapper for micro.WrapSubscriber or
// server.WrapSubscriber: a message that the broker delivers twice is handled
// once. Its key is the one its publisher gave it, see idempotency.WithKey, or
// else the broker's id of the message, which tells a redelivery but not a second
// publication. A message with neither is handled as often as it comes, unless
// keys are required.
//
// A record belongs to the service, the topic and the type of the message: two
// subscribers of one service with the same topic and type are one and the same
// to it, and only the first would run. Give them types of their own.
//
// A handler's error is not recorded, because a broker redelivers for the sake of
// another try: the key is released. WithEndpointSettings, with the topic for
// endpoint, changes that and all else.
//
// The error names every option that is wrong, its value and what is allowed.
// The wrapper is safe for concurrent use.
func NewSubscriberWrapper(service string, guard *idempotency.Guard, opts ...ServerOption) (server.SubscriberWrapper, error) {
	if guard != nil {
		released, err := guard.With(idempotency.WithErrorPolicy(releaseErrors))
		if err != nil {
			return nil, err
		}
		guard = released
	}
	d, err := newDeduper(service, guard, opts)
	if err != nil {
		return nil, err
	}
	return func(next server.SubscriberFunc) server.SubscriberFunc {
		return func(ctx context.Context, msg server.Message) error {
			return d.consume(ctx, msg, next)
		}
	}, nil
}

func releaseErrors(error) idempotency.Verdict { return idempotency.VerdictRelease }

// consume handles one message.
func (d *deduper) consume(ctx context.Context, msg server.Message, next server.SubscriberFunc) (answer error) {
	topic := msg.Topic()
	broker := brokerID(ctx)
	ctx, in, err := take(ctx)
	defer d.answerPanic(ctx, topic, &answer)
	if in.key.Value == "" && err == nil {
		in.key.Value, _ = idempotency.ParseKey(broker) // an id that is no key is none
	}
	keyed, err := d.admit(d.modeOf(topic), topic, in, err)
	if err != nil {
		return d.errors.answer(err)
	}
	if !keyed {
		return d.errors.passOn(next(ctx, msg))
	}
	caller, err := d.caller(ctx, topic)
	if err != nil {
		return err
	}
	in.key.For = "" // checked, and the record belongs to more than the topic
	_, err = d.guardOf(topic).Do(ctx, idempotency.Call{
		Service: d.service, Endpoint: topic + " " + reflect.TypeOf(msg.Payload()).String(), Caller: caller,
		Key: in.key, Attempt: in.attempt, Body: msg.Payload(),
	}, func(ctx context.Context) error { return d.errors.ofHandler(next(ctx, msg)) })
	return d.answerBroker(err)
}

// answerBroker keeps a broker from redelivering what would be answered the same
// for ever.
func (d *deduper) answerBroker(err error) error {
	if errors.Is(err, idempotency.ErrNoReply) {
		return nil
	}
	return d.errors.answer(err)
}

// brokerID is the identity that the publishing client gave the message.
func brokerID(ctx context.Context) string {
	id, _ := metadata.Get(ctx, headers.ID)
	return id
}

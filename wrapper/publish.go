package wrapper

import (
	"context"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Publish hands the message to the broker once: whether a broker may be asked
// again is its own matter. The message carries the caller's key (see
// idempotency.WithKey), or one derived from the execution that publishes it, so
// that a handler that runs again publishes the same message again, or else a
// fresh one, by which a redelivery is known. It never carries the key of the
// call in whose context it is published.
func (c *retryClient) Publish(ctx context.Context, msg client.Message, opts ...client.PublishOption) error {
	if c.twice {
		return asOwn(ErrWrappedTwice)
	}
	taken, err := c.messageKey(ctx, msg)
	if err != nil {
		return c.transport.timedOut(err)
	}
	if taken.err != nil {
		return asOwn(taken.err)
	}
	c.warnUnordered(ctx, taken.key)
	err = c.Client.Publish(withMessageKey(ctx, taken.key), msg, opts...)
	taken.done(err != nil)
	return err
}

// messageKey takes the key of a message. The generator, if there is one, is the
// user's: it is not waited for beyond the publisher's time, which is the error.
func (c *retryClient) messageKey(ctx context.Context, msg client.Message) (callKey, error) {
	take := func() callKey {
		fingerprint := func() (idempotency.Fingerprint, error) { return idempotency.FingerprintOf(msg.Payload()) }
		key, done, err := idempotency.CallKey(ctx, topicService, msg.Topic(), fingerprint, c.generate)
		return callKey{key: key, done: done, err: err}
	}
	_, within := idempotency.ExecutionFrom(ctx)
	if c.generate == nil || within || ctx.Done() == nil {
		return take(), nil
	}
	return askWithin(ctx, take)
}

// topicService stands for the service where a key is derived for a message,
// which has none: whoever subscribes may consume it.
const topicService = "topic"

// withMessageKey puts the key in the place of any other call's, with the topic it was
// minted for: a subscriber must know it from one that the publisher inherited.
func withMessageKey(ctx context.Context, key idempotency.Key) context.Context {
	md := withoutOwn(metadataIn(ctx), ownCount)
	putKey(md, key)
	md[idempotency.HeaderFor] = key.For
	return metadata.NewContext(ctx, md)
}

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
	fingerprint := func() (idempotency.Fingerprint, error) { return idempotency.FingerprintOf(msg.Payload()) }
	key, done, err := idempotency.CallKey(ctx, topicService, msg.Topic(), fingerprint, c.generate)
	if err != nil {
		return asOwn(err)
	}
	c.warnUnordered(ctx, key)
	err = c.Client.Publish(withMessageKey(ctx, key), msg, opts...)
	done(err != nil)
	return err
}

// topicService stands for the service where a key is derived for a message,
// which has none: whoever subscribes may consume it.
const topicService = "topic"

// withMessageKey puts the key in the place of any other call's, with the topic it was
// minted for: a subscriber must know it from one that the publisher inherited.
func withMessageKey(ctx context.Context, key idempotency.Key) context.Context {
	md, ok := metadata.FromContext(ctx)
	if !ok {
		md = make(metadata.Metadata, 2)
	}
	clearOwn(md)
	putKey(md, key)
	md[idempotency.HeaderFor] = key.For
	return metadata.NewContext(ctx, md)
}

package wrapper

import (
	"context"

	"go-micro.dev/v4/client"
)

// Publish hands the message to the broker once: whether a broker may be asked
// again is its own matter. The message does not carry the key of the call in
// whose context it is published, because the key is not the message's.
func (c *retryClient) Publish(ctx context.Context, msg client.Message, opts ...client.PublishOption) error {
	return c.Client.Publish(withoutLeaks(ctx), msg, opts...)
}

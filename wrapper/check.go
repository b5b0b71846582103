package wrapper

import (
	"fmt"

	"go-micro.dev/v4/client"
)

// Check tells what is wrong with a client that NewClientWrapper has wrapped, which
// the constructor could not know: an attempt timeout above the client's request
// timeout would never end an attempt, and a hedge after it would never begin. The error names the option, its value and
// what is allowed; of a client that was wrapped twice it is ErrWrappedTwice. Call it when the client has its options, as the plugin does
// before its service starts. Of any other client it knows nothing, and returns nil.
func Check(wrapped client.Client) error {
	c, ok := wrappedIn(wrapped)
	if !ok {
		return nil
	}
	if c.twice {
		return ErrWrappedTwice
	}
	whole := c.Options().CallOptions.RequestTimeout
	if whole > 0 && c.attemptTimeout > whole {
		return wrongOption("WithAttemptTimeout", c.attemptTimeout,
			fmt.Sprintf("at most a call's whole time, %v: see client.RequestTimeout", whole))
	}
	return c.checkHedge(whole, "a call's whole time (client.RequestTimeout)")
}

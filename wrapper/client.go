package wrapper

import (
	"context"
	"reflect"
	"strings"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// NewClientWrapper returns a wrapper for micro.WrapClient or client.Wrap. With
// no options every call is retried as retryfunc.Careful says, on another
// instance, within its deadline and the client's retry budget.
//
// The wrapper decides about retries for every call that goes through it: what
// the client was configured with (Retry, Retries, Backoff, ConnectionTimeout)
// is overruled, because service.Init() overwrites it from flag defaults. What
// one call asks for with client.WithRetry, WithRetries or WithBackoff is
// honoured.
//
// The error names every option that is wrong, its value and what is allowed.
// The wrapper, and the clients it returns, are safe for concurrent use; all
// clients it wraps share its budget and its circuits.
func NewClientWrapper(opts ...ClientOption) (client.Wrapper, error) {
	o, err := newClientOptions(opts)
	if err != nil {
		return nil, err
	}
	return func(inner client.Client) client.Client {
		return newRetryClient(inner, o)
	}, nil
}

// retryClient is the wrapped client. What it does not override (Init, Options,
// NewRequest, NewMessage, String) has nothing to retry.
type retryClient struct {
	client.Client
	ClientOptions

	kind      string         // client.Client.String(): which transport's errors and options to expect
	stock     bool           // the inner client is go-micro's own: it keeps no call option after a call
	described retryfunc.Rule // what descriptions and verbs say of an endpoint
	calls     callPool
	streams   streamIDs
	warned    warnings
}

func newRetryClient(inner client.Client, o ClientOptions) *retryClient {
	return &retryClient{
		Client: inner, ClientOptions: o,
		kind: inner.String(), stock: isStock(inner),
		described: retryfunc.First(retryfunc.ProtoRule(), retryfunc.HTTPRule()),
	}
}

// isStock tells whether inner is one of go-micro's own clients rather than
// somebody's wrapper around one.
func isStock(inner client.Client) bool {
	t := reflect.TypeOf(inner)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "go-micro.dev/v4/client" ||
		strings.HasPrefix(t.PkgPath(), "github.com/go-micro/plugins/v4/client/")
}

// retries is what the inner client has to be told for n retries.
func (c *retryClient) retries(n int) int {
	if c.kind == "http" {
		return n + 1 // it counts attempts
	}
	return n
}

// Call makes the call, with as many attempts as the policy and the limits
// allow. It returns nil, or a *CallError.
func (c *retryClient) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	c.budget.Deposit()
	s := c.calls.get(c)
	s.open(ctx, req, opts)
	err := c.Client.Call(ctx, req, rsp, s.opts...)
	return s.close(err)
}

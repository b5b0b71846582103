package wrapper

import (
	"context"
	"errors"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// NewClientWrapper returns a wrapper for micro.WrapClient or client.Wrap. With
// no options every call is retried as retryfunc.Careful says, on another
// instance, within its deadline and the callee's retry budget.
//
// The wrapper decides about retries for every call that goes through it: what
// the client was configured with (Retry, Retries, Backoff, ConnectionTimeout)
// is overruled, because service.Init() overwrites it from flag defaults. What
// one call asks for, with a [CallOption] or with client.WithRetry, WithRetries
// or WithBackoff, is honoured.
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

// retryClient is the wrapped client. What it does not override (Init,
// NewRequest, NewMessage, String) has nothing to retry.
type retryClient struct {
	client.Client
	ClientOptions

	transport transport
	twice     bool           // the inner client is wrapped already
	around    bool           // the inner client is not one of go-micro's, but may be around one
	described retryfunc.Rule // what descriptions and verbs say of an endpoint
	endpoints endpoints
	names     ruleNames
	requests  requestIDs
	warned    warnings
	shares    shares
	hedged    hedgedCallees

	lateAnswers lateAnswers
	witnesses   witnesses
}

func newRetryClient(inner client.Client, o ClientOptions) *retryClient {
	_, twice := wrappedIn(inner)
	return &retryClient{
		Client: inner, ClientOptions: o, transport: transport(inner.String()), twice: twice, around: !isMicros(inner),
		described: retryfunc.First(retryfunc.ProtoRule(), retryfunc.HTTPRule()),
		names:     ruleNames{pending: retryfunc.Inspect(o.safety).Names},
	}
}

type wrappedKey struct{}

// Options are the inner client's. Their context tells other wrappers, however
// many are around, that this one is there.
func (c *retryClient) Options() client.Options {
	o := c.Client.Options()
	if o.Context == nil {
		o.Context = context.Background()
	}
	o.Context = context.WithValue(o.Context, wrappedKey{}, c)
	return o
}

// wrappedIn finds the wrapper in a client that may be wrapped by others.
func wrappedIn(c client.Client) (*retryClient, bool) {
	ctx := c.Options().Context
	if ctx == nil {
		return nil, false
	}
	found, ok := ctx.Value(wrappedKey{}).(*retryClient)
	return found, ok
}

// ErrWrappedTwice is what every call of a client gets that was wrapped twice, since
// each wrapper would retry what the other has retried; and what WrapServer gives for a
// server that it has wrapped before, since two guards would deduplicate each call.
var ErrWrappedTwice = errors.New("wrapper: wrapped by oncemore already: install the plugin, or the wrapper, once")

// Call makes the call, with as many attempts as the policy and the limits
// allow. It returns nil, or the error that the inner client gave for the last of
// them; see [WithReport] for what led to it.
func (c *retryClient) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	if req == nil {
		return c.Client.Call(ctx, req, rsp, opts...) // to fail as it does bare
	}
	s := &call{client: c, req: req, rsp: rsp}
	defer s.close()
	if err := s.open(ctx, opts); err != nil {
		return s.end(err)
	}
	err := s.loop(true)
	s.accept(err)
	return s.end(err)
}

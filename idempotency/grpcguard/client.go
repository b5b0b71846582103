package grpcguard

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Client is the client's half. Make one with [NewClient]. It is safe for concurrent
// use.
type Client struct {
	ClientOptions
	service string
}

// NewClient returns the client's half, for connections to the service of that name:
// the one that its [NewServer] is given, or under which a go-micro service is
// registered. The error names every option that is wrong, its value and what is
// allowed.
func NewClient(service string, options ...ClientOption) (*Client, error) {
	c := &Client{service: service, ClientOptions: ClientOptions{endpoint: goMicroEndpoint, safe: make(map[string]bool)}}
	for i, option := range options {
		if option == nil {
			return nil, fmt.Errorf("grpcguard: option %d is nil: leave it out instead", i)
		}
		option(&c.ClientOptions)
	}
	err := errors.Join(c.errs...)
	if service == "" {
		err = errors.Join(err, errors.New(`grpcguard: service "": must be the name of the service`))
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Unary is the interceptor, for [grpc.WithChainUnaryInterceptor]. A call carries the
// caller's key ([idempotency.WithKey]), one derived from the execution that makes it,
// or a fresh one, see [idempotency.CallKey]; never the key of another call. Calls of
// methods that have no side effects ([WithSafe]) carry none.
//
// A call that cannot have a key is not made: the error has a status, and is what
// CallKey returned.
func (c *Client) Unary(
	ctx context.Context, fullMethod string, req, reply any,
	conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if c.safe[fullMethod] || hasNoSideEffects(describe(fullMethod)) {
		return invoke(withoutKey(ctx), fullMethod, req, reply, conn, options...)
	}
	_, own := idempotency.KeyFrom(ctx)
	_, within := idempotency.ExecutionFrom(ctx)
	fingerprint := func() (idempotency.Fingerprint, error) { return idempotency.FingerprintOf(req) }
	key, done, err := idempotency.CallKey(ctx, c.service, c.endpoint(fullMethod), fingerprint, c.generate)
	if err != nil {
		return &unsendableError{err}
	}
	ctx = withKey(ctx, key, !own && !within)
	err = invoke(ctx, fullMethod, req, reply, conn, options...)
	if refused, _ := detailOf(status.Convert(err)); refused.released() != "" { // this clock is slow, and nothing ran
		ctx = metadata.AppendToOutgoingContext(ctx, idempotency.HeaderReleased, refused.released())
		err = invoke(ctx, fullMethod, req, reply, conn, options...)
	}
	mismatch := isMismatch(err)
	done(mismatch || isAmbiguous(err))
	if mismatch {
		idempotency.OutOfOrder(ctx, c.service, c.endpoint(fullMethod))
	}
	return err
}

// isMismatch tells whether a call found the record of another one under its key.
func isMismatch(err error) bool {
	e, ok := detailOf(status.Convert(err))
	return ok && e.isMismatch()
}

// isAmbiguous tells whether the callee may have no record of a call that ended so.
func isAmbiguous(err error) bool {
	if e, ok := detailOf(status.Convert(err)); ok && e.saysUnsettled() {
		return true
	}
	return isAmbiguousCode(status.Code(err))
}

// isAmbiguousCode tells whether a code asks to come again, or says that nobody knows.
func isAmbiguousCode(code codes.Code) bool {
	switch code {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
		return true
	default:
		return false
	}
}

// unsendableError is why a call has no key.
type unsendableError struct{ error }

// Unwrap returns what was wrong.
func (e *unsendableError) Unwrap() error { return e.error }

// GRPCStatus says so in grpc's words.
func (e *unsendableError) GRPCStatus() *status.Status {
	if errors.Is(e.error, idempotency.ErrInvalidKey) {
		return status.New(codes.InvalidArgument, e.Error())
	}
	if errors.Is(e.error, idempotency.ErrStepNeeded) { // what ErrMismatch is at the other end
		return (&wireError{
			id: markID, code: http.StatusUnprocessableEntity, detail: e.Error(),
			status: http.StatusText(http.StatusUnprocessableEntity),
		}).asStatus(grpcCode(http.StatusUnprocessableEntity))
	}
	return status.New(codes.Internal, e.Error())
}

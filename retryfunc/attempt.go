package retryfunc

import (
	"context"
	"reflect"
	"time"

	"go-micro.dev/v4/client"
)

// Attempt is what a policy may know of the attempt that just failed. Whoever
// sees more than go-micro shows to a RetryFunc puts it into the context with
// [WithAttempt]; without it policies derive Class and Number from what they
// are given, and the other fields are zero.
type Attempt struct {
	// Class of the failure.
	Class Class
	// Number of the attempt within its call, 1 for the first. A refused dial
	// that was passed over for another node need not be counted. Of an attempt
	// that was made known by [WithAttempt], 0 asks what would be done if it
	// failed so: nothing has happened that may be counted or paid for.
	Number int
	// Address of the node that was tried; empty when none was picked.
	Address string
	// Duration of the attempt.
	Duration time.Duration
	// Safety of the endpoint, as learnt before the call. Zero: unknown, and so
	// treated as unsafe.
	Safety Safety
	// KeyTrusted: the call carries an idempotency key, and every candidate node
	// announces the same dedupe store, or the user vouched for it.
	KeyTrusted bool
	// RetryAfter and NoRetry are what the server said beside its error, in grpc's
	// trailer ([ParsePushback]). They count with what a [Mark] in the error says.
	RetryAfter time.Duration
	NoRetry    bool
	// Untried: a node that this call has not tried is left, so that moving on
	// after a refused dial costs nobody anything. See [Budget.Limit].
	Untried bool
}

type attemptKey struct{}

// WithAttempt returns a context that tells policies about the attempt that just
// failed. The policy reads *a while it runs and never changes it. A nil a is
// the same as none.
func WithAttempt(ctx context.Context, a *Attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// AttemptFrom returns the attempt that [WithAttempt] put into ctx.
func AttemptFrom(ctx context.Context) (*Attempt, bool) {
	a, ok := ctx.Value(attemptKey{}).(*Attempt)
	return a, ok && a != nil
}

// attemptOf returns what is known of the attempt that failed with err.
func attemptOf(ctx context.Context, req client.Request, retryCount int, err error) Attempt {
	if a, ok := AttemptFrom(ctx); ok {
		return *a
	}
	return Attempt{Class: Classify(err, evidenceOf(req, err)), Number: retryCount + 1}
}

// evidenceOf collects what a plain go-micro client lets a RetryFunc see.
func evidenceOf(req client.Request, err error) Evidence {
	if req == nil || err == nil {
		return Evidence{}
	}
	return Evidence{Client: clientOf(req), Service: req.Service()}
}

const (
	mucpPackage = "go-micro.dev/v4/client"
	grpcPackage = "github.com/go-micro/plugins/v4/client/grpc"
	// The package that reads the streams of mucp itself.
	wrapperPackage = "github.com/oncemore-dev/oncemore/wrapper"
)

// clientOf names the client that makes the call. The type of req does not tell
// that it is mucp: client.NewRequest builds a mucp request for any client.
func clientOf(req client.Request) string {
	t := reflect.TypeOf(req)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == grpcPackage {
		return "grpc"
	}
	return askingClient()
}

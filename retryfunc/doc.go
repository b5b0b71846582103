// Package retryfunc decides whether a failed go-micro call may be tried again.
//
// Retrying is dangerous. An attempt that ended in a timeout or on a broken
// connection may have run, may still be running, and may run to its end after
// the caller has given up: trying again can charge a student twice. go-micro
// says 408 or 500 for nearly all failures, so its code alone cannot tell a call
// that never left this process from one whose reply was lost. This package
// sorts failures into classes by evidence from this side of the wire, never by
// text that a peer wrote, and its default policy, [Careful], retries only what
// cannot do harm twice. Where it is in doubt it does not retry.
//
// Every policy is a plain client.RetryFunc, or a constructor of one, and works
// in a go-micro client without anything else of this module:
//
//	client.NewClient(client.Retry(retryfunc.Careful))
//
// There a refused dial is known by the client that asks, found on the stack, and
// by the type of its error. A loop of one's own that asks a policy has to say
// what it saw ([WithAttempt]), else nothing is taken for not sent. And a call
// wrapper must not turn what a mucp peer answered into an *errors.Error, with
// errors.Parse for instance: it then looks like this side's own.
//
// go-micro asks the policy after the last attempt too, when no retry can
// follow, and its own backoff ignores the context: use [Backoff.Func] for
// waits that end with the caller, and [Budget.Limit] and [WithinDeadline] for
// retries that neither pile up nor come too late.
//
// The package keeps no global state, starts no goroutines and logs nothing.
package retryfunc

// Package wrapper puts oncemore between a go-micro service and its client and
// server.
//
// Read this first: a retry is a second chance to do harm. Unless the callee is
// known to be safe, idempotent, or deduplicated by key, the default policy
// (retryfunc.Careful) repeats a call only when it can prove that nothing ran.
// Choosing retryfunc.Always instead makes every lost reply a possible second
// execution.
//
// NewClientWrapper returns a client.Wrapper. It drives go-micro's own retry
// loop with per-call options, so it works with every go-micro client (mucp,
// grpc, http), with other people's wrappers before and after it, and after
// service.Init() has overwritten the client's defaults:
//
//   - each call gets a policy, attempts, a deadline and a retry budget;
//   - each attempt goes to an instance that this call has not tried yet, as
//     long as one is left, and failing instances are ejected;
//   - each attempt decodes into a fresh response, so that a late reply never
//     writes into memory the caller owns again;
//   - a call whose endpoint is not known to be safe carries an idempotency key.
//
// What cannot be isolated: a response that is nil, a map, or otherwise not a
// pointer is passed through as it is, and a late reply may still write to it.
// Fields that the caller filled in the response before the call are replaced,
// not merged, by the reply.
//
// # Servers
//
// WrapServer makes a server execute each keyed call once, as far as the store of an
// idempotency.Guard reaches, and refuses to start it if an option names an endpoint
// that nobody registered. NewHandlerWrapper and NewSubscriberWrapper are its parts, for
// those who install them themselves. Messages are for a subscriber to opt in: see
// Subscriber.
//
// # Transports
//
// On mucp the timeout header that the server sees is the attempt's timeout plus
// a grace of two seconds: go-micro's client races with its own reader when that
// timeout fires, so the wrapper's timer fires first. On grpc the server sees
// the attempt's timeout itself.
//
// go-micro's mucp client loses about 6 requests in 100,000 on healthy servers
// when connections are reused under concurrency: the request is never executed
// and the client waits out its timeout. The wrapper makes such a loss a Timeout
// of one attempt, which is retried wherever a retry is harmless.
package wrapper

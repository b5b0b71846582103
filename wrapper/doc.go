// Package wrapper puts oncemore between a go-micro service and its client and
// server.
//
// Read this first: a retry is a second chance to do harm. Unless the callee is
// known to be safe, idempotent, or deduplicated by key, the default policy
// (retryfunc.Careful) repeats a call only when it can prove that nothing ran.
// Choosing retryfunc.Always instead makes every lost reply a possible second
// execution.
//
// NewClientWrapper returns a client.Wrapper. Its Call and Stream have a loop of
// their own, in which go-micro's client makes one attempt at a time without its
// retries, so that it works with every go-micro client (mucp, grpc, http), with
// other people's wrappers before and after it, and after service.Init() has
// overwritten the client's defaults:
//
//   - each call gets a policy, attempts, a deadline and its callee's retry budget;
//   - each attempt goes to an instance that this call has not tried yet, as
//     long as one is left, and failing instances are ejected;
//   - an attempt that has had its share of the call's time, and at least what
//     the endpoint has needed of late, goes on while the next is made beside it
//     on another instance, where the policy would retry a timeout: the first
//     answer counts. Nothing is thrown away before the call ends, unless
//     WithAttemptTimeout says so;
//   - where WithHedge or WithAdaptiveHedge asks for it, a call that may run twice is
//     sent to a second instance sooner than that. The attempt that is outrun is
//     cancelled; but one of each instance runs on until it has had 250 ms, to show
//     whether the instance is slow or frozen;
//   - a dial has a share of its own, a third of what the call has left and at
//     most 1.5 s, after which another instance is dialled beside it. Nothing is
//     sent meanwhile, so that is done for every call: whoever is connected first
//     sends, and only one does of a call that must not run twice. Where nothing
//     tells of the connection (streams of mucp, call wrappers of others, unsafe
//     calls of the http client) the dial is given up instead, at half of the time,
//     unless that was in vain in the last ten seconds;
//   - an answer is received apart from the caller's response, and moved there
//     only while the call is open, so that a late one never writes into memory
//     the caller owns again;
//   - where a handler of a wrapped server makes the call, one layer of the chain
//     retries. Attempts beside others that are late come out of what the server's
//     own caller has handed over, unless the endpoint answers others meanwhile, so
//     that it is one instance that hangs. A call that failed because instances
//     answered with failures, as many as are tried and two at least, is not
//     repeated by the callers of its handler, if that returns its error or one with
//     its words;
//   - a call whose endpoint is not known to be safe carries an idempotency key.
//
// A wrapper that is installed inside of this one runs once for each attempt, and
// an error that it makes counts as that attempt's. What it sends more than once
// within an attempt counts as sent. Where attempts run beside one another, each
// has a response of its own that is like the caller's, and the answer of the
// first is moved into that. It may go on in the background with the context of an
// attempt that was answered: that ends with the time of the call, unless the caller's
// ends before it, or has longer than a call may take by default.
//
// A response arrives as it does with the bare client, on whichever attempt. There
// is only one of a response that the caller has filled in, unless it is a protobuf
// message or decoded by go-micro's own codec for JSON or bytes: it is decoded into
// as it would be bare, and no attempt is begun beside the one that may write to
// it. That is also so of a map, and of a filled response whose decoder a call
// wrapper hides.
//
// The functions that options take are called for the goroutine that makes the
// call, which waits for them no longer than the call has time: a policy that
// takes three seconds does not hold a call of a tenth of one, and runs on beside
// it; it must not look at the request then, which is its caller's again. What such
// a function panics with is raised in the caller's goroutine; observers are told the
// call's end all the same, with ErrPanicked. Observers are called by the goroutine that
// does the work, and what they panic with is logged: see Observer, and Event for all that
// they are told.
//
// An endpoint that no node of its service lists, though they list what they serve,
// is warned of once with slog and with the nearest that exists: when a call to it
// was answered with an error, and when it is named in the rule of WithSafety.
//
// # Streams
//
// A stream carries no idempotency key, so that it is retried only where its endpoint is
// known to be safe or idempotent: then until its first message has arrived, or its end.
// What was sent is kept, encoded when Send is called, and sent again on the stream that
// is opened on another instance: when the one it has fails before its first message in
// a way that the policy retries, and, beside the one it has, when Send or Recv has
// waited for its share of what the time of the context leaves, or for
// WithAttemptTimeout, which cuts. The first message decides to which instance the stream
// is handed over; what the others answer is dropped. From there on it is as bare, and
// its errors are for the caller. It is handed over sooner to the instance that it has
// by a Send past WithStreamBuffer, and by Response and the codec of Request, for what is
// read and written there is not known. Attempts, budget and backoff are those of one
// call; a stream without a deadline has no shares.
//
// On mucp such a stream ends with its context, after which bare ones go on; Close waits
// for no peer, and tells a server by the end of the connection, as it does on grpc, in
// the place of a last message before it. CloseSend is not to be had on mucp, and returns
// go-micro's error.
//
// Only the opening is retried, and all else is as bare, of streams of other endpoints;
// with WithStreamBuffer(0), and a single attempt; over other clients than go-micro's own
// mucp and grpc, http's among them; where another wrapper gives a stream of its own; with
// codecs that are not go-micro's; and, on mucp, with another transport than HTTP, and
// with nodes that announce no protocol, as those of WithAddress do not.
//
// A server does not deduplicate streams. Where KeyRequired holds for one, wrapped clients
// are refused: they send none, and take the caller's own out of the metadata.
//
// # Servers
//
// WrapServer makes a server execute each keyed call once, as far as the store of an
// idempotency.Guard reaches, and refuses to start it if an option names an endpoint
// that nobody registered. NewHandlerWrapper and NewSubscriberWrapper are its parts, for
// those who install them themselves. Messages are for a subscriber to opt in: see
// Subscriber.
//
// A handler has as long as its attempt, if the client says how long that is, and a
// keyed execution as long as the guard gives it. WithConcurrencyLimit bounds how many
// run at once, so that a server in overload answers what it can and refuses the rest
// while it costs nothing.
//
// # Transports
//
// On mucp the timeout header that the server sees is the attempt's timeout plus
// a grace of two seconds: go-micro's client races with its own reader when that
// timeout fires. Wrapped servers that announce themselves go by the attempt's own. On grpc the server sees the attempt's timeout itself. An attempt
// that was outrun is cancelled on grpc and http; mucp cannot be told, and its
// handler runs on.
//
// go-micro's mucp client loses about 6 requests in 100,000 on healthy servers
// when connections are reused under concurrency: the request is never executed
// and the client waits out its timeout. The next attempt is made beside it
// wherever a retry is harmless, and between wrapped clients and servers that
// announce themselves it cannot happen.
package wrapper

// Package httpguard runs an HTTP request once under its Idempotency-Key, and gives
// its repetitions the same response: a net/http middleware over
// [idempotency.Guard].
//
// What it cannot do: a key makes one request out of two only if they carry the
// same one. It must be minted where the intention is, with the form or the order,
// and not where the request is sent. And the response is held back until it is
// recorded, so that a response which the handler flushes, or which is larger than
// [idempotency.WithMaxReply], is sent before that, and remembered without its body.
//
// A request belongs to the service, the method, the path and the caller (see
// [WithCaller]), and its repetitions must have the same target and body. JSON
// bodies are compared without regard to white space and the order of members,
// multipart forms without regard to their boundary.
//
// The handler runs to its end even if the client leaves: its request's context has
// the guard's execution timeout in place of the connection's end, and the retry
// joins it. Responses with a status below 400 are successes. Any other is an error
// to the guard, a [*ResponseError], and what becomes of it is what becomes of any
// handler's error: a 4xx is recorded and undoes the handler's writes in a
// transactional store, one that settles nothing (408, 425, 429, 503) releases the
// key, and the others depend on the store.
//
// To check the key only, and pass it on to a service that deduplicates, there is
// package httpkey.
package httpguard

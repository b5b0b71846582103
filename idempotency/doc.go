// Package idempotency lets a repeated call run once.
//
// The danger first. A key promises that two requests are one and the same:
// whoever sends one key with two different intentions loses the second, and
// whoever mints a new key for a retry pays twice. So a key belongs to one
// intention: to the form that the user submits, the message that is consumed,
// the logical call whose attempts share it. A record protects only what the
// handler does where the record is kept: an e-mail, or a payment with
// somebody else, needs a key of its own, derived from this one.
//
// The client's half is [CallKey]: the caller's key ([WithKey]), one derived
// from the execution that makes the call, or a minted one.
//
// The server's half is [Guard]. Under one key (and service, endpoint and
// caller, see [Scope]) it runs the handler once. A duplicate that comes while
// the handler runs waits and joins its answer; one that comes later is answered
// from the record, be it a reply or an error; one with another body is refused.
// Only what is proven not to have happened may run again: an error marked with
// [NotDone], and in a transactional store whatever was rolled back. What became
// of an execution whose process died is for a [Takeover] to say, and the
// default is to hold the key rather than to guess.
//
// Where the records are kept is a [Store]; package storetest holds every store
// to one contract. How strong the promise is depends on it: a store in memory
// knows one process, a detached one can lose what a crash leaves between the
// work and the record, and only a transactional one commits both together.
//
// The package knows no RPC framework; it serves a plain net/http handler as
// well, with package httpkey in front.
package idempotency

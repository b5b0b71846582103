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
// The package knows no RPC framework; it serves a plain net/http handler as
// well.
package idempotency

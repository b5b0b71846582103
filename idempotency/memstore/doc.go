// Package memstore keeps idempotency records in the memory of one process.
//
// The danger first: it sees the duplicates of its own process only, and
// forgets everything when the process ends. Behind two instances a call can
// run twice. It is for tests, for single processes, and as the first of two
// stores. It announces no identity, so that no client trusts it with a retry
// on another instance.
//
// Memory is bounded. When it is full, old records are forgotten before their
// time, and their duplicates run again; a running claim never is: if
// nothing but running claims is left, new ones are refused.
package memstore

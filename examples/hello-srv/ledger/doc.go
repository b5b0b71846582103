// Package ledger keeps the money that hello-srv has moved: one row per
// execution of Wallet.Tip.
//
// The table has no unique index on the idempotency key, on purpose. A ledger
// that refuses a second row would hide what the examples are there to show:
// whether the call ran twice. A real service should have that index as its last
// line of defence.
//
// A second table keeps fences, for executions that no transaction ties to their
// record: one that was taken over, and does not know it, cannot write any more.
package ledger

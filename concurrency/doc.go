// Package concurrency bounds how many requests a server works on at once, so that in
// overload it answers those it has time for, and refuses the others before anything
// of them runs.
//
// A [Limiter] is fixed ([NewFixed]) or finds its limit by itself ([NewAdaptive]): it
// adds to the limit while requests are done in good time and takes from it when one
// has used up more than half of the time that its caller had left for it. That is
// additive increase and multiplicative decrease, as in TCP, on the caller's deadline in
// the place of lost packets. Limits that go by the latency alone (Gradient2 of
// Netflix's concurrency-limits) take a queue that has stood for long for the normal
// state of things; a deadline does not move.
//
// The package knows no go-micro. wrapper.WithConcurrencyLimit puts a Limiter in front
// of handlers.
package concurrency

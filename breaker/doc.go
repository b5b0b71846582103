// Package breaker keeps one circuit per address and shows it in hystrix.
//
// Danger first: a breaker that trips on too little takes healthy instances
// away from callers, and one that trips on too much lets callers wait for dead
// ones. Report only what is evidence against the instance that was called: an
// answer, even an error, from a living instance is a [Success]; a call that
// the caller gave up on is [Ignored].
//
// # What decides
//
// A counter of consecutive failures per address decides, and nothing else.
// Rates over a rolling window, which is what hystrix uses, let thousands of
// old successes keep a dead instance in service for hundreds of calls; a
// counter ejects it after exactly the threshold. A success resets the counter.
// When it reaches the threshold the circuit opens, and from then on each
// sleep window grants one probe. Only a success that began after the circuit
// opened closes it: an answer that was already on its way proves nothing.
// Likewise, a failure that began before the circuit closed cannot open it
// again.
//
// # What hystrix does here
//
// hystrix-go mirrors the circuits, for its event stream, its dashboards and
// whoever asks [hystrix.GetCircuit]. It is never asked: its metrics are
// asynchronous, any success closes its circuits, and it runs on the wall
// clock even where WithClock is given. It exports no way to force a circuit
// open, so there is no such wish to respect.
//
// Each hystrix circuit costs two goroutines and about 25 KB and can never be
// removed. Names therefore come from a bounded pool: a tripped address leases
// one, and a name serves another address only after hystrix's rolling window
// has passed over it. When the pool is exhausted the counter still decides,
// and only the mirror is missing. Make one [Set] per client, never one per
// call: the circuits of a closed Set stay in hystrix until the process ends.
//
// [hystrix.GetCircuit]: https://pkg.go.dev/github.com/afex/hystrix-go/hystrix#GetCircuit
package breaker

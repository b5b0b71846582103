// Package breaker keeps one circuit per address, and needs nothing but the
// standard library.
//
// Danger first: a breaker that trips on too little takes healthy instances
// away from callers, and one that trips on too much lets callers wait for dead
// ones. Report only what is evidence against the instance that was called: an
// answer, even an error, from a living instance is a [Success]; a call that
// its caller gave up on too early to tell is [Ignored].
//
// # What opens a circuit
//
// A counter of consecutive failures per address decides, and nothing else.
// Rates over a rolling window, which is what hystrix uses, let thousands of
// old successes keep a dead instance in service for hundreds of calls; a
// counter ejects it after exactly the threshold. A success resets the counter.
// When it reaches the threshold the circuit opens. The events differ in what
// they weigh: a refused dial weighs more, because nothing listens there, and
// an [Outrun] attempt, which may only have been slow, counts once the address
// has answered nothing for 250 ms.
//
// # What closes it
//
// Each sleep window grants one [Set.Probe], to a call that could be made
// elsewhere. Only a success that began after the circuit opened closes it: an
// answer that was already on its way proves nothing. Likewise, a failure that
// began before the circuit closed cannot open it again.
//
// # Who watches
//
// [Set.Ejected] lists what is open and why. [WithHook] adds a function that
// sees every change of a circuit, [WithEventHook] one that sees every event.
// Package hystrix uses them to show the circuits in hystrix-go.
//
// Make one [Set] per client, never one per call.
package breaker

// Package selectorx switches nodes between the attempts of a call and keeps
// away from nodes that are down, over any go-micro strategy.
//
// Danger first: go-micro's own strategies pick with replacement. With two
// nodes, half of the retries after a crash go back to the node that crashed,
// and its Random and RoundRobin know nothing of what failed a moment ago. And
// the other way round: a balancer that ejects too eagerly sends everything to
// the few nodes that are left. Hence the cap, [WithMaxEjected].
//
// # The rules
//
// A [Call] is the state of one logical call over all its attempts. Which node
// the next attempt gets is decided by the first of these that leaves a choice:
//
//  1. A node that is ejected but due for a probe gets it, from the first
//     attempt of a call, or from a later one that has no other new node left.
//  2. The nodes that are admitted and that this call has not tried.
//  3. The nodes that refused connections and that this call has not tried: it
//     has failed everywhere else, one may be back, and a refusal costs little.
//  4. The admitted nodes except the one tried last.
//  5. The admitted nodes.
//
// Among the nodes left, the strategy the caller configured keeps its say: it
// is given them, and only them, as its services. A call that has tried nothing
// while no circuit is open is the caller's strategy alone, with nothing copied.
//
// A node is admitted unless its [Ejector] says that its circuit is open. Two
// exceptions keep a call from finding no node: of the nodes ejected by
// anything but refused dials, at most half (WithMaxEjected) stay ejected, and
// the others are admitted again, always the same ones; and when all nodes are
// ejected, all are admitted. Nodes that refuse connections are ejected beyond
// any cap: nothing listens there.
//
// # The flat selector
//
// [Flat] is a selector.Selector in the place of go-micro's, which copies all nodes for
// each call, keeps what a registry does not tell to be gone, and waits for one that
// does not answer. It selects from a snapshot of the service. The registry's watcher
// changes that at once, a look at the registry a second after a change makes sure of
// it, and another every 30 s finds what no watcher told. A node that deregisters is
// gone at once. When the registry tells, asked for all nodes, or of several in one
// event, that there is none left, the last ones are kept for 30 s, since one that was
// restarted knows nobody until they register again.
//
// Between two nodes at random it takes the one that is likely to answer sooner, by
//
//	(in flight + 1) · latency · e^(−Δt/10s) / max(success³, 0.001) / clamp(age/10s, 0.1, 1)
//
// where Δt is the time since the node last answered. The latency follows a slower
// answer at once, and quicker ones within 10 s. Success falls by a tenth with each
// failure, and recovers with answers and with time: without it a node that fails at
// once would be the quickest of all. What is unknown is taken from the rival. The idea
// is that of Finagle's P2C with peak EWMA.
//
// It learns from Call.Begin, which the client wrapper calls; alone, in a plain client,
// it is random with a slow start. A strategy of the call or of the client is asked
// instead, and a filter before. Draws are as fast at 3,000 nodes as at 3 for its own
// balance, go-micro's Random and NewRoundRobin; filters and strategies of others look
// at all nodes, as they always did.
//
// go-micro's client takes it from client.Selector. For the flag --selector=oncemore
// put it where go-micro looks before service.Init reads the flags:
//
//	flat, err := selectorx.NewFlat()
//	…
//	cmd.DefaultSelectors["oncemore"] = func(opts ...selector.Option) selector.Selector {
//		_ = flat.Init(opts...) // which returns nil
//		return flat
//	}
//
// Nodes are told apart by address. Nil nodes, and nodes without an address,
// are never picked.
package selectorx

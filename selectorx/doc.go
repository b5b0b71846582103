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
// Nodes are told apart by address. Nil nodes, and nodes without an address,
// are never picked.
package selectorx

// Command harm checks oncemore's first rule: whatever works without oncemore
// works with it, at least as well. It runs the same program twice, side by side,
// once as go-micro made it ("bare") and once with oncemore installed
// ("wrapped"), against real services that are killed, frozen and moved, and
// compares what their callers got.
//
//	go run . [-short] [-list] [-cells 3,17 | -cells slow,grpc] [-seed 1] [-length 8s] [-control]
//
// What is varied is in package cell: workloads, fleets, clients, safety of the
// endpoint, and what else stands around the client. Cells are chosen so that
// every pair of values of two dimensions meets in at least one of them.
// Package judge says when a cell shows harm: fewer calls answered, calls that
// return after their deadline, or calls executed again that may run once.
//
// Every cell has one process for each arm, which makes the calls and owns the
// servers it calls; package arm is that process, and package node its servers.
// Only oncemore's public API is used, with its defaults.
//
// Exit status 0: no harm; 1: harm, or a cell that proves nothing; 2: a flag is
// not allowed.
package main

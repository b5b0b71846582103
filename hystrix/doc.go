// Package hystrix shows the circuits of a breaker.Set in hystrix-go, for its
// event stream, its dashboards and whoever asks [hystrix.GetCircuit]:
//
//	mirror, err := hystrix.NewMirror()
//	…
//	set, err := breaker.New(mirror.Option())
//
// hystrix is told and never asked: its metrics are asynchronous, any success
// closes its circuits, and its rule lets old successes keep a dead instance in
// service. It exports no way to force a circuit open, so there is no such wish
// to respect. When a circuit of the Set opens, the [Mirror] reports a burst of
// failures, and it reports no successes until the circuit closes.
//
// Each hystrix circuit costs two goroutines and about 25 KB and can never be
// removed. Names therefore come from a bounded pool: an address that trips
// leases one, and a name serves another address only after hystrix's rolling
// window has passed over it. When the pool is exhausted the Set decides as
// ever, and only the picture is missing. Make one Mirror per Set, and one Set
// per client, never one per call: their circuits stay in hystrix until the
// process ends.
//
// [hystrix.GetCircuit]: https://pkg.go.dev/github.com/afex/hystrix-go/hystrix#GetCircuit
package hystrix

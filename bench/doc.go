// Package bench measures what oncemore costs beside what others cost, in one
// run. Its benchmarks are its tests; it has no API. It is a module of its own,
// so that the peers it compares with are nobody's requirement.
//
//   - Stack: the whole client stack, with the breaker on, beside the bare
//     client, hystrix.DoC, the community's hystrix wrapper and failsafe-go.
//     On wire=stub, a client that only applies options and picks a node,
//     nothing else costs anything; on wire=mucp the client is go-micro's own,
//     over a transport that answers at once.
//   - Loopback: wrapped client, wrapped handler and both against bare ones,
//     over real connections.
//   - SQL: a claim and its record around a business transaction, or in it,
//     against the bare transaction.
//
// What one piece costs by itself is measured in its own package.
//
// A busy machine must not decide who wins. What is compared takes turns: Stack
// runs the bare client every few hundred calls, Loopback and SQL go from one
// arm to the next with every call, in random order, and include a control,
// which is the bare arm a second time. Any difference between the two is the
// machine's, and the ratios are what remains after it.
//
// Every call is checked: a benchmark in which one fails, or gets another answer
// than it should, fails.
package bench

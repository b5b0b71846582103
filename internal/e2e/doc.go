// Package e2e is the roof over the tests that prove with real processes what
// the packages promise: instances of a go-micro service, on mucp and on grpc,
// the stores they share, and callers, some of which are killed, frozen or cut
// off at a chosen moment.
//
// Package bank is the service, with a ledger that has no unique index, so that
// a second execution shows; package checkpoint holds its processes at the
// moment that a test is about. The tests are in the packages beside them:
//
//	storm     hundreds of duplicates of each of many keys, at once
//	crash     an instance dies at every step of an execution; a late attempt
//	outage    the store dies or hangs while calls go on
//	clients   other clients of go-micro, and wrappers that people have already
//	trust     keys that must not meet; when a client may repeat a keyed write
//	consul    instances come and go in a real registry
//	messages  a broker delivers twice
//	upgrade   two versions at work side by side, on one store and on one wire
//	dashboards
//	          the dashboard and the alert rules, before a real Prometheus
//	readme    the programs and commands of README.md, as they are written there
//
// Nothing here waits for luck: a test awaits the event that it needs, and is
// bounded.
package e2e

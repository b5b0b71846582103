// Package bank is the service of the end-to-end tests: a go-micro service whose
// one effect is a row in a ledger. The ledger has no unique index, so that a
// call which is executed twice leaves two rows.
//
// Only for tests: it does what a test's director tells it (package checkpoint),
// and trusts whoever can connect.
//
// A package that uses it hands its TestMain over, and starts what it needs:
//
//	func TestMain(m *testing.M) { bank.Main(m) }
//
//	place := bank.Open(t, bank.Postgres)
//	fleet := bank.Start(t, place, fixture.GRPC, 3, bank.Config{})
//	receipt, err := bank.Pay(ctx, fleet.Client(t), "key", "10 cents")
//	rows := place.Receipts(t, "key")
package bank

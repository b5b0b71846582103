// Package storetest is the conformance suite of idempotency stores: every
// store that passes [Run] gives the same answers, also when its connection
// breaks at the worst moment. Write a store of your own, then:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Harness {
//			return storetest.Harness{Store: newStore(t), Other: newStore(t)}
//		})
//	}
//
// [Faulty], which makes any store fail where a test wants it to, is exported
// for tests of what stands on a store.
package storetest

package main

import (
	"errors"
	"fmt"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
)

// arm is one way to call hello-srv that is put through the plan.
type arm struct {
	name string
	// client is user-api's CLIENT.
	client string
	// control: hello-srv does not deduplicate.
	control bool
	// vouched makes user-api believe that hello-srv deduplicates, true or not.
	vouched bool
	// hedged: a call that takes long is sent to a second instance.
	hedged bool
	// share is which part of the calls asked for it makes at the least; it goes
	// on until the plan is through.
	share float64
	// judge says what the result should have been and was not.
	judge func(result) error
}

// oncemoreArm is the name of the arm that must not fail.
const oncemoreArm = "oncemore"

// arms are run in this order.
func arms() []arm {
	return []arm{
		{name: oncemoreArm, client: "oncemore", share: 1, judge: unharmed},
		{name: "stock client", client: "stock", control: true, share: 0.1, judge: failing},
		{name: "hystrix, retry always", client: "hystrix", control: true, share: 0.1, judge: failing},
		{name: "oncemore, dedupe off", client: "oncemore", control: true, vouched: true, share: 0.1, judge: duplicating},
		{name: "oncemore, hedged", client: "hedged", hedged: true, share: 1, judge: unharmed},
	}
}

// storage says where the arm's instances keep their records and their ledger,
// if c asks for one, and dir is the arm's own. The ledger of a control is where
// that of oncemore's arm is.
func (a arm) storage(c config, dir string) (store, ledger storeurl.Store) {
	store = c.store
	if store == (storeurl.Store{}) {
		store = inFile(dir)
	}
	ledger = store
	if !store.IsDatabase() {
		ledger = inFile(dir)
	}
	if a.control {
		store = storeurl.Store{Kind: storeurl.None}
	}
	return store, ledger
}

// unharmed wants no failure, no duplicate and no loss, in spite of faults that
// could be felt, and that none felt more than oncemore promises.
func unharmed(r result) error {
	switch {
	case r.failed > 0 || r.duplicates > 0 || r.lost > 0:
		return errors.New("a call failed, ran twice or was lost")
	case r.acknowledged == 0:
		return errors.New("no tip was acknowledged")
	case r.retried == 0:
		return errors.New("no call needed a second attempt: the faults did not bite")
	case r.onDead == 0 || r.onFrozen == 0:
		return errors.New("no attempt met the dead instance, or none the frozen one: the faults did not bite")
	case r.onDead > r.mostOnDead:
		return fmt.Errorf("%d attempts failed on the dead instance: at most %d may", r.onDead, r.mostOnDead)
	case r.worstOnFrozen > 1:
		return fmt.Errorf("one call waited for the frozen instance %d times: once is enough", r.worstOnFrozen)
	default:
		return nil
	}
}

// failing wants failures: without any the faults were none.
func failing(r result) error {
	if r.failed == 0 {
		return errors.New("no call failed: the faults did not bite")
	}
	return nil
}

// duplicating wants tips that ran twice: without any, nothing shows what
// deduplication is for.
func duplicating(r result) error {
	if r.duplicates == 0 {
		return errors.New("no tip ran twice: the faults did not bite")
	}
	return nil
}

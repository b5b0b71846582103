package main

import "errors"

// arm is one way to call hello-srv that is put through the plan.
type arm struct {
	name string
	// client is user-api's CLIENT.
	client string
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
		{name: "stock client", client: "stock", share: 0.1, judge: failing},
		{name: "hystrix, retry always", client: "hystrix", share: 0.1, judge: failing},
	}
}

// unharmed wants no failure, no duplicate and no loss, in spite of faults that
// could be felt.
func unharmed(r result) error {
	switch {
	case r.failed > 0 || r.duplicates > 0 || r.lost > 0:
		return errors.New("a call failed, ran twice or was lost")
	case r.retried == 0:
		return errors.New("no call needed a second attempt: the faults did not bite")
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

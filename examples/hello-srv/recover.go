package main

import (
	"context"
	"fmt"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/idempotency"
)

// recoverTip asks the ledger what became of a tip whose instance died, or seems
// to have: if it is there, that is the answer, and if it is not, it never will
// be, because the dead come back too late for their fence.
func recoverTip(book *ledger.Ledger) idempotency.RecoverFunc {
	return func(ctx context.Context, o idempotency.Orphan) (done bool, err error) {
		req, isTip := o.Body.(*hello.TipRequest)
		rsp, isReply := o.Reply.(*hello.TipReply)
		if !isTip || !isReply {
			return false, fmt.Errorf("recover a tip from %T and %T", o.Body, o.Reply)
		}
		id, found, err := book.Find(ctx, o.Scope.Key, o.Fence)
		if err != nil || !found {
			return false, err
		}
		balance, err := book.Balance(ctx, req.GetStudent())
		if err != nil {
			return false, err
		}
		rsp.TransferId, rsp.BalanceCents = id, balance
		return true, nil
	}
}

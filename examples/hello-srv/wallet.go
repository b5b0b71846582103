package main

import (
	"context"
	stderrors "errors"
	"strings"
	"time"

	"go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

const (
	longestStudent = 64
	highestTip     = 100_000_00 // cents
)

// wallet is the Wallet service of one instance.
type wallet struct {
	instance string
	ledger   *ledger.Ledger
	faults   faults
	newID    func() string
	now      func() time.Time
}

// Tip adds one row to the ledger, every time it runs. That it runs once is not
// its own doing.
func (w *wallet) Tip(ctx context.Context, req *hello.TipRequest, rsp *hello.TipReply) error {
	if err := w.faults.beforeWork(ctx); err != nil {
		return err
	}
	if err := checkTip(req); err != nil {
		return err
	}
	key, fence := executed(ctx)
	transfer := ledger.Transfer{
		ID:          w.newID(),
		Student:     req.GetStudent(),
		AmountCents: req.GetAmountCents(),
		Key:         key,
		Instance:    w.instance,
		At:          w.now(),
	}
	balance, err := w.add(ctx, transfer, fence)
	if err != nil {
		return tipFailed(ctx, req.GetStudent(), err)
	}
	rsp.TransferId = transfer.ID
	rsp.BalanceCents = balance
	return nil
}

// executed says under which key the call runs. Without deduplication it is only
// what the caller sent, for the ledger to show.
func executed(ctx context.Context) (key string, fence uint64) {
	if info, ok := idempotency.ExecutionFrom(ctx); ok {
		return info.Key.Value, info.Fence
	}
	key, _ = metadata.Get(ctx, idempotency.HeaderKey)
	return key, 0
}

// add writes the transfer together with the record of the call, where both are
// in one database. Elsewhere it writes alone, and to the end: a transfer that
// has begun does not depend on the caller's patience.
func (w *wallet) add(ctx context.Context, t ledger.Transfer, fence uint64) (balanceCents int64, err error) {
	if tx, ok := sqlstore.Tx(ctx); ok {
		return w.ledger.AddIn(ctx, tx, t)
	}
	if fence == 0 {
		ctx = context.WithoutCancel(ctx)
	}
	return w.ledger.Add(ctx, t, fence)
}

// tipFailed gives the key of a tip that was certainly not written free.
func tipFailed(ctx context.Context, student string, err error) error {
	failed := errors.InternalServerError(serviceName, "tip %s: %v", student, err)
	if _, keyed := idempotency.ExecutionFrom(ctx); keyed && !stderrors.Is(err, ledger.ErrCommit) {
		return idempotency.NotDone(failed)
	}
	return failed
}

// Balance sums up the ledger.
func (w *wallet) Balance(ctx context.Context, req *hello.BalanceRequest, rsp *hello.BalanceReply) error {
	if err := w.faults.beforeWork(ctx); err != nil {
		return err
	}
	if err := checkStudent(req.GetStudent()); err != nil {
		return err
	}
	balance, err := w.ledger.Balance(ctx, req.GetStudent())
	if err != nil {
		return errors.InternalServerError(serviceName, "balance of %s: %v", req.GetStudent(), err)
	}
	rsp.Student = req.GetStudent()
	rsp.BalanceCents = balance
	return nil
}

func checkTip(req *hello.TipRequest) error {
	if err := checkStudent(req.GetStudent()); err != nil {
		return err
	}
	if cents := req.GetAmountCents(); cents < 1 || cents > highestTip {
		return errors.BadRequest(serviceName, "amount_cents: %d: must be 1 to %d", cents, highestTip)
	}
	return nil
}

func checkStudent(student string) error {
	if n := len(strings.TrimSpace(student)); n < 1 || len(student) > longestStudent {
		return errors.BadRequest(serviceName, "student: %d bytes: must be 1 to %d and not blank", len(student), longestStudent)
	}
	return nil
}

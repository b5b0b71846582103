package main

import (
	"context"
	"errors"
	"os"
	"strings"

	merrors "go-micro.dev/v4/errors"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// Bank is paid. It is exported because go-micro names endpoints after the type.
type Bank struct{ *node }

// Tip writes one row, and behaves.
func (b *Bank) Tip(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	behaviour, id, _ := strings.Cut(req.GetValue(), "/")
	if err := b.write(ctx, id); err != nil {
		return err
	}
	rsp.Value = "by " + b.name
	return b.behave(behaviour)
}

// Balance writes nothing, and behaves.
func (b *Bank) Balance(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	sqlstore.NoWrites(ctx)
	behaviour, _, _ := strings.Cut(req.GetValue(), "/")
	rsp.Value = "by " + b.name
	return b.behave(behaviour)
}

// Shop has the bank paid. It is exported because go-micro names endpoints after the
// type.
type Shop struct{ *node }

// Order has the bank paid, and behaves.
func (s *Shop) Order(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	behaviour, id, _ := strings.Cut(req.GetValue(), "/")
	if err := s.write(ctx, "order-"+id); err != nil {
		return err
	}
	reply, err := s.ask(ctx, "bank.Bank.Tip", "ok/"+id)
	if err != nil {
		return err
	}
	rsp.Value = reply
	return s.behave(behaviour)
}

// handle handles a message.
func (n *node) handle(ctx context.Context, msg *wrapperspb.StringValue) error {
	behaviour, id, _ := strings.Cut(msg.GetValue(), "/")
	if err := n.write(ctx, id); err != nil {
		return err
	}
	return n.behave(behaviour)
}

// behave is how the work ends; on an instance of another name, well.
func (n *node) behave(behaviour string) error {
	behaviour, who, named := strings.Cut(behaviour, "@")
	if named && who != n.name {
		return nil
	}
	switch behaviour {
	case "exit":
		os.Exit(7)
	case "panic":
		panic("told to")
	case "plain":
		return errors.New("told to")
	case "notdone":
		return idempotency.NotDone(merrors.New(n.service, "told to", 418))
	case "declined":
		return merrors.New(n.service, "told to", 402)
	case "timeout":
		return merrors.Timeout(n.service, "told to")
	case "failed":
		return merrors.InternalServerError(n.service, "told to")
	case "busy":
		return merrors.New(n.service, "told to", 503)
	}
	return nil
}

// write adds a row to the ledger: in the transaction of the execution, if there is one.
func (n *node) write(ctx context.Context, id string) error {
	var q sqlstore.Querier = n.db
	if tx, ok := sqlstore.Tx(ctx); ok {
		q = tx
	}
	_, err := q.ExecContext(ctx, "INSERT INTO business (name) VALUES ($1)", id)
	return err
}

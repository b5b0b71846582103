package main

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/idempotency"
)

func TestRecoverTip(t *testing.T) {
	book, err := ledger.Open(t.Context(), storeurl.Store{Kind: storeurl.SQLite, Path: filepath.Join(t.TempDir(), "ledger.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	paid := ledger.Transfer{ID: "t-1", Student: "xuxu", AmountCents: 5, Key: "paid", Instance: "dead", At: time.Now()}
	if _, err := book.Add(t.Context(), paid, 1); err != nil {
		t.Fatal(err)
	}
	ask := recoverTip(book)
	orphan := func(key string, fence uint64) (idempotency.Orphan, *hello.TipReply) {
		reply := new(hello.TipReply)
		return idempotency.Orphan{
			Scope: idempotency.Scope{Key: key}, Body: &hello.TipRequest{Student: "xuxu", AmountCents: 5}, Reply: reply, Fence: fence,
		}, reply
	}

	o, reply := orphan("paid", 2)
	if done, err := ask(t.Context(), o); !done || err != nil || reply.GetTransferId() != "t-1" || reply.GetBalanceCents() != 5 {
		t.Errorf("of what was paid: %t, %v, %v", done, err, reply)
	}
	o, reply = orphan("unpaid", 2)
	if done, err := ask(t.Context(), o); done || err != nil || reply.GetTransferId() != "" {
		t.Errorf("of what was not paid: %t, %v, %v", done, err, reply)
	}
	o, _ = orphan("unpaid", 1)
	if done, err := ask(t.Context(), o); done || !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("by who was itself taken over: %t, %v, want ErrFenced", done, err)
	}
	if done, err := ask(t.Context(), idempotency.Orphan{Body: "a tip"}); done || err == nil {
		t.Errorf("of something else: %t, %v", done, err)
	}
}

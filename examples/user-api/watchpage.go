package main

import (
	"context"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/user-api/page"
)

// watchPage is the page, and the ledger that it reads, if it may.
type watchPage struct {
	*page.Page

	book *ledger.Ledger
}

func newPage(c config, t *tokens) (watchPage, error) {
	var w watchPage
	var err error
	if c.ledger != (storeurl.Store{}) {
		if w.book, err = ledger.Open(context.Background(), c.ledger); err != nil {
			return w, err
		}
	}
	w.Page, err = page.New(page.Config{
		Nodes:    c.nodes,
		Observed: c.client == clientOncemore || c.client == clientHedged,
		Ledger:   w.book,
		Control:  c.control,
		Token:    t.issue,
	})
	return w, err
}

func (w watchPage) close() error {
	w.Close()
	if w.book == nil {
		return nil
	}
	return w.book.Close()
}

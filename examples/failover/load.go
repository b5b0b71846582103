package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// operation is what a call asks for.
type operation uint8

const (
	opGreet operation = iota
	opBalance
	opTip
)

const (
	tipCents = 100
	// students share the tips: enough of them that a balance stays cheap.
	students = 50
)

// mix is the order of the operations, repeated for ever.
func mix() []operation { return []operation{opGreet, opTip, opBalance, opTip} }

// call is one request and what came of it.
type call struct {
	op    operation
	key   string // of a tip
	err   error
	began time.Time
	took  time.Duration
	taken effort
}

// load makes calls: concurrency callers, each the next as soon as it has its
// answer, none of them twice.
type load struct {
	url    string
	prefix string // of the keys and students
	mix    []operation
	client *http.Client
	pause  time.Duration // of each caller, after a call

	next   atomic.Int64 // the number of the next call
	failed atomic.Int64
}

func newLoad(url, prefix string, mix []operation) *load {
	return &load{url: url, prefix: prefix, mix: mix, client: newHTTPClient()}
}

// drive makes calls while meanwhile runs, and on until there were least of
// them. It returns every call; the error is meanwhile's.
func (l *load) drive(ctx context.Context, least int, meanwhile func(context.Context) error) ([]call, error) {
	defer l.client.CloseIdleConnections()
	var through atomic.Bool
	more := func() bool {
		return ctx.Err() == nil && (!through.Load() || l.next.Load() < int64(least))
	}
	var wg sync.WaitGroup
	made := make([][]call, concurrency)
	for i := range made {
		wg.Go(func() {
			for more() {
				made[i] = append(made[i], l.call(ctx, l.next.Add(1)-1))
				l.rest(ctx)
			}
		})
	}
	err := meanwhile(ctx)
	through.Store(true)
	wg.Wait()
	var calls []call
	for _, some := range made {
		calls = append(calls, some...)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return calls, err
}

func (l *load) rest(ctx context.Context) {
	if l.pause == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(l.pause):
	}
}

func (l *load) call(ctx context.Context, n int64) call {
	c := call{op: l.mix[n%int64(len(l.mix))], began: time.Now()}
	student := fmt.Sprintf("%s%d", l.prefix, n%students)
	switch c.op {
	case opGreet:
		_, c.taken, c.err = greet(ctx, l.client, l.url)
	case opBalance:
		c.taken, c.err = askBalance(ctx, l.client, l.url, student)
	case opTip:
		c.key = fmt.Sprintf("%s%d", l.prefix, n)
		c.taken, c.err = giveTip(ctx, l.client, l.url, student, c.key)
	}
	c.took = time.Since(c.began)
	if c.err != nil {
		l.failed.Add(1)
	}
	return c
}

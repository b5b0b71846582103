// Package storm sends many duplicates at once, over real processes, to every
// store that they can share.
package storm

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func TestMain(m *testing.M) { bank.Main(m) }

// The scale: 200 duplicates of each of 50 keys over 3 processes, which is 10,000
// calls, for each store, on one transport; on the other a fifth of the keys. All
// duplicates of a key are under way at one time, and those of 4 keys: mucp needs
// a connection for each. Of 1,000 duplicates of one key every one fails, in its
// turn; on the other transport of 200.
const (
	instances  = 3
	duplicates = 200
	keys       = 50
	atOnce     = 4
	losers     = 1000
	// lesser is what the numbers are divided by on the other transport.
	lesser = 5
)

// eachStore runs a test on every store and transport. scale divides its
// numbers: the stores take turns in which transport bears the full ones.
func eachStore(t *testing.T, test func(t *testing.T, f *bank.Fleet, scale int)) {
	for i, kind := range bank.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			place := bank.Open(t, kind)
			for j, transport := range fixture.Transports() {
				scale := 1
				if (i+j)%2 == 1 {
					scale = lesser
				}
				t.Run(transport, func(t *testing.T) {
					test(t, bank.Start(t, place, transport, instances, bank.Config{}), scale)
				})
			}
		})
	}
}

// outcome is what a duplicate was answered.
type outcome struct {
	receipt string
	err     error
}

// send makes n calls at once. Their outcomes can be read when all have ended.
func send(n int, call func() (string, error)) (outcomes []outcome, ended *sync.WaitGroup) {
	outcomes, ended = make([]outcome, n), new(sync.WaitGroup)
	for i := range n {
		ended.Go(func() {
			receipt, err := call()
			outcomes[i] = outcome{receipt, err}
		})
	}
	return outcomes, ended
}

// TestStorm: the winner of each key works until all duplicates have arrived in
// their processes, so that all but one find it running.
func TestStorm(t *testing.T) { eachStore(t, storm) }

// TestStormDetached is TestStorm on SQL stores that keep leases, as Redis does.
func TestStormDetached(t *testing.T) {
	for i, kind := range []bank.Kind{bank.MariaDB, bank.Postgres, bank.SQLite} {
		t.Run(string(kind), func(t *testing.T) {
			transports := fixture.Transports()
			transport := transports[i%len(transports)]
			storm(t, bank.Start(t, bank.Open(t, kind), transport, instances, bank.Config{Detached: true}), 1)
		})
	}
}

func storm(t *testing.T, f *bank.Fleet, scale int) {
	t.Helper()
	c := f.Client(t, wrapper.WithAttempts(1))
	names := make(chan string)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for key := range names {
				held := f.Director.Hold(bank.Before, key)
				outcomes, ended := send(duplicates, func() (string, error) { return bank.Pay(t.Context(), c, key) })
				<-held.Arrived()
				<-f.Director.Reached(bank.Arrived, key, duplicates)
				held.Release("")
				ended.Wait()
				wantOnce(t, f, key, outcomes)
			}
		})
	}
	for i := range keys / scale {
		names <- fmt.Sprintf("%s/%d", t.Name(), i)
	}
	close(names)
	workers.Wait()
}

// wantOnce: one execution, one row, and its receipt for everyone.
func wantOnce(t *testing.T, f *bank.Fleet, key string, outcomes []outcome) {
	t.Helper()
	for i, o := range outcomes {
		if o.err != nil || o.receipt == "" || o.receipt != outcomes[0].receipt {
			t.Errorf("%s: duplicate %d was answered %q, %v; the first %q", key, i, o.receipt, o.err, outcomes[0].receipt)
			break
		}
	}
	if n := f.Director.Count(bank.Before, key); n != 1 {
		t.Errorf("%s: %d executions", key, n)
	}
	if rows := f.Place.Receipts(t, key); len(rows) != 1 || rows[0] != outcomes[0].receipt {
		t.Errorf("%s: rows %q, answered %q", key, rows, outcomes[0].receipt)
	}
}

// TestEveryWinnerFails: of 1,000 duplicates of one key each executes in turn, and
// each fails; in a transactional store after it has written, which is undone. No
// two execute at one time. The next call then succeeds.
func TestEveryWinnerFails(t *testing.T) {
	eachStore(t, func(t *testing.T, f *bank.Fleet, scale int) {
		stock, key, losers := f.Stock(t), t.Name(), losers/scale
		point, verdict := bank.Before, bank.Refuse
		if f.Place.Kind.Transactional() {
			point, verdict = bank.Worked, bank.Fail
		}
		f.Director.Script(point, key, verdict)
		first := f.Director.Hold(bank.Before, key)
		sent := time.Now() // of all, so that none is late for another
		outcomes, ended := send(losers, func() (string, error) { return bank.Attempt(t.Context(), stock, key, sent) })
		first.Wait(t)
		f.Director.Await(t, bank.Arrived, key, losers)
		if f.Place.Kind.Transactional() {
			first.Release("")
		} else {
			first.Release(verdict)
		}
		ended.Wait()
		for i, o := range outcomes {
			if e := merrors.FromError(o.err); o.err == nil || e.Id != "bank" || e.Code != http.StatusInternalServerError {
				t.Errorf("duplicate %d was answered %q, %v; want the handler's own error", i, o.receipt, o.err)
				break
			}
		}
		if n := f.Director.Count(bank.Before, key); n != losers {
			t.Errorf("%d executions, want %d: each failed and left the next its turn", n, losers)
		}
		if n := f.Director.MostBetween(bank.Before, bank.Left, key); n != 1 {
			t.Errorf("%d executed at one time", n)
		}
		if rows := f.Place.Receipts(t, key); len(rows) != 0 {
			t.Errorf("%d rows of executions that failed", len(rows))
		}
		f.Director.Script(point, key, "")
		receipt, err := bank.Pay(t.Context(), f.Client(t), key)
		if rows := f.Place.Receipts(t, key); err != nil || len(rows) != 1 || rows[0] != receipt {
			t.Errorf("after the failures: %q, %v; rows %q", receipt, err, rows)
		}
	})
}

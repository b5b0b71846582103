// Package hedge hedges payments, and looks whether any of them is made twice.
package hedge

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// payments is how many are made on each store; half of them on each transport. The
// long form is 20000.
var payments = flag.Int("payments", 400, "payments on each store")

func TestMain(m *testing.M) { bank.Main(m) }

// generous pays for every hedge: the budget is tested elsewhere.
func generous(t *testing.T) wrapper.ClientOption {
	t.Helper()
	b, err := retryfunc.NewBudget(retryfunc.WithRatio(1), retryfunc.WithMinPerSecond(1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	return wrapper.WithHedgeBudget(b)
}

// TestHedgedPayments: each payment is sent to two instances at nearly the same
// time, made once, and answered with its own receipt, now and when it is repeated.
func TestHedgedPayments(t *testing.T) {
	for _, kind := range bank.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			place := bank.Open(t, kind)
			for _, transport := range fixture.Transports() {
				t.Run(transport, func(t *testing.T) {
					f := bank.Start(t, place, transport, 3, bank.Config{})
					hedged := payAll(t, f, *payments/2)
					t.Logf("%d of %d payments hedged", hedged, *payments/2)
					if hedged < *payments/4 {
						t.Errorf("%d of %d payments were hedged", hedged, *payments/2)
					}
				})
			}
		})
	}
}

// payAll makes so many payments, a few at a time, and counts those that were
// hedged. Each has a client of its own, since one would soon find that these hedges
// are in vain.
func payAll(t *testing.T, f *bank.Fleet, n int) int {
	t.Helper()
	set, err := breaker.New()
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	stock := f.Stock(t)
	opts := []wrapper.ClientOption{
		wrapper.WithTrustedKeys(), wrapper.WithBreaker(set), wrapper.WithHedgedWrites(), wrapper.WithHedge(200 * time.Microsecond),
	}
	var (
		group         sync.WaitGroup
		begun, hedged atomic.Int64
	)
	for range 8 {
		group.Go(func() {
			for i := begun.Add(1); i <= int64(n); i = begun.Add(1) {
				if payOnce(t, f, bank.Wrap(t, stock, opts...), fmt.Sprintf("%s/%d", t.Name(), i)) > 1 {
					hedged.Add(1)
				}
			}
		})
	}
	group.Wait()
	return int(hedged.Load())
}

// payOnce makes a payment, looks for it in the ledger, and returns how many
// attempts it took.
func payOnce(t *testing.T, f *bank.Fleet, c client.Client, key string) int {
	t.Helper()
	var report wrapper.Report
	ctx := wrapper.WithReport(t.Context(), &report)
	receipt, err := bank.Pay(ctx, c, key)
	if err != nil {
		t.Errorf("%s: %s", key, bank.Story(err))
	}
	again, err := bank.Pay(t.Context(), c, key)
	if err != nil || again != receipt {
		t.Errorf("%s: answered %q, and %q when repeated: %s", key, receipt, again, bank.Story(err))
	}
	if rows := f.Place.Receipts(t, key); len(rows) != 1 || rows[0] != receipt {
		t.Errorf("%s: rows %q, answered %q: %s", key, rows, receipt, report.Story())
	}
	return len(report.Attempts)
}

// TestHedgeJoins: the hedge of a payment that is being made waits for it, and both
// have one answer, whichever comes first.
func TestHedgeJoins(t *testing.T) {
	for _, kind := range bank.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			f := bank.Start(t, bank.Open(t, kind), fixture.Transports()[len(kind)%2], 3, bank.Config{})
			c := f.Client(t, generous(t), wrapper.WithHedgedWrites(), wrapper.WithHedge(time.Millisecond))
			key := t.Name()
			held := f.Director.Hold(bank.Before, key)
			paid := make(chan int)
			go func() { paid <- payOnce(t, f, c, key) }()
			held.Wait(t)
			f.Director.Await(t, bank.Arrived, key, 2)
			held.Release("")
			if got := <-paid; got != 2 {
				t.Errorf("%d attempts", got)
			}
			if n := f.Director.Count(bank.Before, key); n != 1 {
				t.Errorf("%d executions", n)
			}
		})
	}
}

// TestHedgedPaymentPastAFrozenInstance: an instance freezes when a payment has
// arrived there and nothing has been done. Nobody waits for it to thaw, and when it
// does, it finds the payment made.
func TestHedgedPaymentPastAFrozenInstance(t *testing.T) {
	for _, kind := range []bank.Kind{bank.Redis, bank.MariaDB, bank.Postgres} {
		t.Run(string(kind), func(t *testing.T) {
			place := bank.Open(t, kind)
			for _, transport := range fixture.Transports() {
				t.Run(transport, func(t *testing.T) { pastFrozen(t, bank.Start(t, place, transport, 2, bank.Config{})) })
			}
		})
	}
}

func pastFrozen(t *testing.T, f *bank.Fleet) {
	t.Helper()
	c := f.Client(t, generous(t), wrapper.WithHedgedWrites(), wrapper.WithHedge(100*time.Millisecond))
	key := t.Name()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	arrived := f.Director.Hold(bank.Arrived, key)
	type answer struct {
		receipt string
		err     error
	}
	paid := make(chan answer)
	go func() {
		receipt, err := bank.Pay(ctx, c, key)
		paid <- answer{receipt, err}
	}()
	first := f.Node(t, arrived.Wait(t))
	first.Freeze()
	arrived.Release("")
	got := <-paid
	rows := f.Place.Receipts(t, key)
	first.Thaw()
	if got.err != nil || len(rows) != 1 || rows[0] != got.receipt {
		t.Errorf("answered %q, rows %q: %s", got.receipt, rows, bank.Story(got.err))
	}
	f.Director.Await(t, bank.Answered, key, 2)
	if rows = f.Place.Receipts(t, key); len(rows) != 1 {
		t.Errorf("rows %q after it thawed", rows)
	}
	if n := f.Director.Count(bank.Before, key); n != 1 {
		t.Errorf("%d executions", n)
	}
}

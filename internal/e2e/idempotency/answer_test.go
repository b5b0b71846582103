package idempotency_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
	_ "modernc.org/sqlite"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

// kind is a store of one of the two kinds, and what a handler writes.
type kind struct {
	store         idempotency.Store
	transactional bool
	write         func(ctx context.Context) error
	rows          func() int
}

// eachKind runs a test on a detached store and on a transactional one.
func eachKind(t *testing.T, test func(t *testing.T, k *kind)) {
	t.Helper()
	t.Run("detached", func(t *testing.T) {
		var rows atomic.Int32
		test(t, &kind{
			store: newStore(t), write: func(context.Context) error { rows.Add(1); return nil },
			rows: func() int { return int(rows.Load()) },
		})
	})
	t.Run("transactional", func(t *testing.T) { test(t, newTransactional(t)) })
}

func newTransactional(t *testing.T) *kind {
	t.Helper()
	settings := url.Values{"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "bank.db")+"?"+settings.Encode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	store, err := sqlstore.New(t.Context(), db, sqlstore.WithMigrate())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (entry TEXT)"); err != nil {
		t.Fatal(err)
	}
	write := func(ctx context.Context) error {
		tx, ok := sqlstore.Tx(ctx)
		if !ok {
			return errors.New("no transaction")
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO ledger (entry) VALUES ('tip')")
		return err
	}
	rows := func() (n int) {
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ledger").Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	return &kind{store: store, transactional: true, write: write, rows: rows}
}

// told is an answer in short: its reason, or the code of an error that is the
// handler's, or neither.
type told struct {
	reason error
	code   int
}

func toldBy(err error) told {
	var guard *idempotency.Error
	var coded interface{ StatusCode() int }
	switch {
	case err == nil:
		return told{}
	case errors.As(err, &guard):
		return told{reason: guard.Reason}
	case errors.As(err, &coded):
		return told{code: coded.StatusCode()}
	}
	return told{code: 500}
}

// TestAnswerOfEachEnd ends a handler, which has written a row, in each way, and
// asks again from another process.
func TestAnswerOfEachEnd(t *testing.T) {
	type outcome struct {
		first, second told
		runs, rows    int
	}
	failed := told{code: 500}
	recorded := outcome{failed, failed, 1, 1}
	rolledBack := outcome{failed, failed, 2, 0}
	dropped := outcome{told{}, told{reason: idempotency.ErrNoReply}, 1, 1}
	final := func(code int) outcome { return outcome{told{code: code}, told{code: code}, 1, 1} }
	undone := func(code int) outcome { return outcome{told{code: code}, told{code: code}, 1, 0} }
	releasedDetached := func(code int) outcome { return outcome{told{code: code}, told{code: code}, 2, 2} }
	released := func(code int) outcome { return outcome{told{code: code}, told{code: code}, 2, 0} }
	poor := &idempotency.RecordedError{Code: 402, Detail: "not enough"}
	coded := func(code int32) func() error {
		return func() error { return &idempotency.RecordedError{Code: code, Detail: "coded"} }
	}
	relayed := func(reason error) func() error { // by the guard of a callee in this process
		return func() error { return &handled{&idempotency.Error{Reason: reason, Code: 422}} }
	}
	large := wrapperspb.String(strings.Repeat("x", 101))
	unexported := &struct{ n int }{1}
	type ending struct {
		name                    string
		reply                   any
		end                     func() error
		detached, transactional outcome
	}
	unsettled := func(name string, reason error) ending {
		twice := outcome{told{reason: reason}, told{reason: reason}, 2, 2}
		undone := twice
		undone.rows = 0
		return ending{name, nil, relayed(reason), twice, undone}
	}
	for _, test := range []ending{
		{"success", nil, func() error { return nil }, outcome{told{}, told{}, 1, 1}, outcome{told{}, told{}, 1, 1}},
		{"error below 500", nil, func() error { return poor },
			final(402), undone(402)},
		{"conflict", nil, coded(409), final(409), undone(409)},
		{"error of 500", nil, func() error { return errors.New("disk full") }, recorded, rolledBack},
		{"error of 502", nil, coded(502), final(502), released(502)},
		{"error of 504", nil, coded(504), final(504), released(504)},
		{"error without a code", nil, coded(0), final(0), released(0)},
		{"408", nil, coded(408), releasedDetached(408), released(408)},
		{"425", nil, coded(425), releasedDetached(425), released(425)},
		{"429", nil, coded(429), releasedDetached(429), released(429)},
		{"503", nil, coded(503), releasedDetached(503), released(503)},
		{"deadline of its own", nil, func() error { return fmt.Errorf("provider: %w", context.DeadlineExceeded) },
			releasedDetached(500), released(500)},
		{"canceled by itself", nil, func() error { return context.Canceled }, releasedDetached(500), released(500)},
		{"timeout of the network", nil, func() error {
			return &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
		}, releasedDetached(500), released(500)},
		{"below 500 because of a timeout", nil, func() error {
			return errors.Join(poor, context.DeadlineExceeded)
		}, final(402), undone(402)},
		unsettled("callee runs", idempotency.ErrRunning),
		unsettled("callee waited", idempotency.ErrWaitTimeout),
		unsettled("callee lost its lease", idempotency.ErrLeaseLost),
		unsettled("callee's outcome unknown", idempotency.ErrOutcomeUnknown),
		unsettled("callee's store is down", idempotency.ErrUnavailable),
		unsettled("callee was rolled back", idempotency.ErrRolledBack),
		unsettled("callee knew the key", idempotency.ErrMismatch),
		{"callee forgot the key", nil, relayed(idempotency.ErrExpired),
			outcome{told{reason: idempotency.ErrExpired}, told{code: 422}, 1, 1},
			outcome{told{reason: idempotency.ErrExpired}, told{code: 422}, 1, 0}},
		{"not done", nil, func() error { return idempotency.NotDone(poor) }, releasedDetached(402), released(402)},
		{"final", nil, func() error { return idempotency.Final(poor) }, final(402), undone(402)},
		{"final in spite of its code", nil, func() error { return idempotency.Final(coded(503)()) }, final(503), undone(503)},
		{"final in spite of its cause", nil, func() error {
			return idempotency.Final(context.DeadlineExceeded)
		}, final(500), undone(500)},
		{"final, writes stay", nil, func() error { return idempotency.FinalKeepWrites(poor) }, final(402), final(402)},
		{"500 is final, writes stay", nil, func() error {
			return fmt.Errorf("declined: %w", idempotency.FinalKeepWrites(errors.New("by the provider")))
		}, final(500), final(500)},
		{"the outer mark counts", nil, func() error {
			return idempotency.NotDone(idempotency.Final(idempotency.FinalKeepWrites(poor)))
		}, releasedDetached(402), released(402)},
		{"the outer mark counts, final", nil, func() error {
			return idempotency.FinalKeepWrites(idempotency.NotDone(poor))
		}, final(402), final(402)},
		{"panic", nil, func() error { panic("storm") }, recorded, rolledBack},
		{"panic with a timeout", nil, func() error { panic(context.DeadlineExceeded) }, recorded, rolledBack},
		{"panic with a mark", nil, func() error { panic(idempotency.NotDone(poor)) }, recorded, rolledBack},
		{"panic of a callee", nil, func() error {
			return &idempotency.PanicError{Value: context.DeadlineExceeded}
		}, recorded, rolledBack},
		{"Goexit", nil, func() error { runtime.Goexit(); return nil }, recorded, rolledBack},
		{"oversize reply", large, func() error { return nil }, dropped, dropped},
		{"reply that does not come back", &struct{ X float64 }{math.NaN()}, func() error { return nil }, dropped, dropped},
		{"type of which some come back", unexported, func() error { return nil }, dropped, dropped},
		{"any that comes back", new(any), func() error { return nil },
			outcome{told{}, told{}, 1, 1}, outcome{told{}, told{}, 1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, k *kind) {
				want, got := test.detached, outcome{}
				if k.transactional {
					want = test.transactional
				}
				ask := func() told {
					guard := newGuard(t, k.store, idempotency.WithMaxReply(100))
					call, _ := tip("k")
					call.Reply = test.reply
					return do(t, guard, call, func(ctx context.Context) error {
						got.runs++
						return errors.Join(k.write(ctx), test.end())
					})
				}
				got.first, got.second, got.rows = ask(), ask(), k.rows()
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		})
	}
}

// handled is an error of a handler that is another guard's answer.
type handled struct{ error }

func (h *handled) Unwrap() error { return h.error }

// do makes a call on a goroutine of its own, which the handler may end.
func do(t *testing.T, g *idempotency.Guard, c idempotency.Call, handler func(context.Context) error) told {
	t.Helper()
	answer := told{code: 500} // of a goroutine that has ended
	var group sync.WaitGroup
	group.Go(func() {
		_, err := g.Do(t.Context(), c, handler)
		answer = toldBy(err)
	})
	group.Wait()
	return answer
}

// TestOtherBodyInEachState sends another request under the key in each state.
func TestOtherBodyInEachState(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		here := newGuard(t, k.store)
		elsewhere := newGuard(t, k.store, idempotency.WithPollInterval(10*time.Millisecond))
		other := func() error {
			call, _ := tip("k")
			call.Body = wrapperspb.String("1000 cents")
			_, err := elsewhere.Do(t.Context(), call, func(context.Context) error {
				return idempotency.NotDone(errCut)
			})
			return err
		}
		if err := other(); !errors.Is(err, errCut) {
			t.Fatalf("absent: %v", err)
		}
		started, end := make(chan struct{}), make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() {
			call, _ := tip("k") // after a release, whose request nobody need repeat
			if answer := do(t, here, call, func(ctx context.Context) error {
				close(started)
				<-end
				return k.write(ctx)
			}); answer != (told{}) {
				t.Errorf("owner: %+v", answer)
			}
		})
		<-started
		if k.transactional { // which shows nothing before its commit: the other waits
			time.AfterFunc(50*time.Millisecond, func() { close(end) })
		}
		wantMismatch(t, other())
		if !k.transactional {
			close(end)
		}
		group.Wait()
		wantMismatch(t, other())
		if n := k.rows(); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestCallerLeavesDuringARelease: the key is free all the same.
func TestCallerLeavesDuringARelease(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		for name, fault := range map[string]storetest.Fault{
			"before": {}, "cut": {Before: context.Canceled}, "answer lost": {After: context.Canceled},
		} {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			var left atomic.Bool
			broken := newGuard(t, storetest.Faulty(k.store, func(_ context.Context, op storetest.Op) storetest.Fault {
				if op != storetest.OpRelease || left.Swap(true) {
					return storetest.Fault{}
				}
				leave()
				return fault
			}))
			elsewhere := newGuard(t, k.store, idempotency.WithPollInterval(10*time.Millisecond))
			before := k.rows()
			key := "k-" + strings.ReplaceAll(name, " ", "-")
			w := &worker{do: func(ctx context.Context, n int) error {
				if n == 1 {
					return idempotency.NotDone(errCut)
				}
				return k.write(ctx)
			}}
			if _, err := w.call(ctx, broken, key); err != errCut {
				t.Errorf("%s: %v", name, err)
			}
			if reply, err := w.call(t.Context(), elsewhere, key); err != nil || reply != "run 2" {
				t.Errorf("%s: then %q, %v", name, reply, err)
			}
			if n := k.rows() - before; n != 1 {
				t.Errorf("%s: %d rows", name, n)
			}
			if err := broken.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

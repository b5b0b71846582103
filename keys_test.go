package oncemore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpkey"
	"github.com/oncemore-dev/oncemore/internal/logtest"
)

// Bank is a callee. It is exported because go-micro names endpoints after the
// handler's type.
type Bank struct {
	mu     sync.Mutex
	paid   []string
	arrive func()  // if it is set, each payment waits for it
	fails  []error // of the payments to come
}

// Pay pays, and answers with the receipt's number.
func (b *Bank) Pay(_ context.Context, req, rsp *wrapperspb.StringValue) error {
	if b.arrive != nil {
		b.arrive()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.fails) > 0 {
		err := b.fails[0]
		b.fails = b.fails[1:]
		return err
	}
	b.paid = append(b.paid, req.GetValue())
	rsp.Value = req.GetValue() + " paid"
	return nil
}

func (b *Bank) want(t *testing.T, when string, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	got := slices.Sorted(slices.Values(b.paid))
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("%s: paid %q, want %q", when, got, want)
	}
}

// Shop calls the bank.
type Shop struct {
	client client.Client
	order  func(ctx context.Context) error
}

// Order is what the test makes of it.
func (s *Shop) Order(ctx context.Context, _, rsp *wrapperspb.StringValue) error {
	rsp.Value = "ordered"
	return s.order(ctx)
}

func call(ctx context.Context, c client.Client, service, endpoint, text string) error {
	var rsp wrapperspb.StringValue
	return c.Call(ctx, c.NewRequest(service, endpoint, wrapperspb.String(text)), &rsp)
}

func pay(ctx context.Context, c client.Client, text string) error {
	return call(ctx, c, "bank", "Bank.Pay", text)
}

// openBank starts a bank that deduplicates.
func (at *town) openBank() *Bank {
	at.t.Helper()
	b := new(Bank)
	at.run("bank", at.plugin(memory(at.t)), func(s micro.Service) { must(at.t, micro.RegisterHandler(s.Server(), b)) })
	return b
}

// openShop starts a shop whose service deduplicates, too.
func (at *town) openShop() *Shop {
	at.t.Helper()
	shop := new(Shop)
	at.run("shop", at.plugin(memory(at.t)), func(s micro.Service) {
		shop.client = s.Client()
		must(at.t, micro.RegisterHandler(s.Server(), shop))
	})
	return shop
}

// TestTwoCallsUnderOneKey are two calls, whatever they say, and the same two when a
// caller repeats both under the same key.
func TestTwoCallsUnderOneKey(t *testing.T) {
	steps := func(labels ...string) func(context.Context, int) context.Context {
		return func(ctx context.Context, i int) context.Context { return idempotency.WithStep(ctx, labels[i]) }
	}
	for name, tt := range map[string]struct {
		bodies []string
		step   func(context.Context, int) context.Context
	}{
		"the same body":              {[]string{"x", "x"}, steps("", "")},
		"other bodies":               {[]string{"x", "y"}, steps("", "")},
		"two steps, the same body":   {[]string{"x", "x"}, steps("a", "b")},
		"two steps, other bodies":    {[]string{"x", "y"}, steps("a", "b")},
		"one step, twice":            {[]string{"x", "x"}, steps("a", "a")},
		"a step after none":          {[]string{"x", "x"}, steps("", "a")},
		"read, change, read":         {[]string{"x", "y", "x"}, steps("", "", "")},
		"three, the same, and steps": {[]string{"x", "x", "x"}, steps("a", "", "a")},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				bank, c := at.openBank(), at.wrapped()
				for _, when := range []string{"first", "repeated"} {
					ctx := idempotency.WithKey(t.Context(), "order-7")
					for i, body := range tt.bodies {
						if err := pay(tt.step(ctx, i), c, body); err != nil {
							t.Errorf("%s, call %d: %v", when, i+1, err)
						}
					}
					bank.want(t, when, slices.Clone(tt.bodies)...)
				}
			})
		})
	}
}

// TestTwoCallsOfOneHTTPRequest: the header of the request is the key of both.
func TestTwoCallsOfOneHTTPRequest(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		bank, c := at.openBank(), at.wrapped()
		keyed, err := httpkey.New()
		must(t, err)
		handler := keyed(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for _, text := range []string{"goods", "postage"} {
				if err := pay(r.Context(), c, text); err != nil {
					t.Error(err)
				}
			}
		}))
		for _, when := range []string{"first", "repeated"} {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/order", nil)
			request.Header.Set(idempotency.HeaderKey, "order-7")
			handler.ServeHTTP(httptest.NewRecorder(), request)
			bank.want(t, when, "goods", "postage")
		}
	})
}

// TestCallsOfOneExecution: whatever a handler does with one endpoint works as it does
// without keys, and is found again when the handler runs again in the same order.
func TestCallsOfOneExecution(t *testing.T) {
	for name, tt := range map[string]struct {
		order func(ctx context.Context, c client.Client) error
		paid  []string
	}{
		"a loop": {func(ctx context.Context, c client.Client) error {
			for i := range 5 {
				if err := pay(ctx, c, strconv.Itoa(i)); err != nil {
					return err
				}
			}
			return nil
		}, []string{"0", "1", "2", "3", "4"}},
		"a loop of the same": {func(ctx context.Context, c client.Client) error {
			for range 3 {
				if err := pay(ctx, c, "x"); err != nil {
					return err
				}
			}
			return nil
		}, []string{"x", "x", "x"}},
		"a fan-out of the same": {func(ctx context.Context, c client.Client) error {
			return fanOut(8, func(int) error { return pay(ctx, c, "x") })
		}, []string{"x", "x", "x", "x", "x", "x", "x", "x"}},
		"a fan-out with steps": {func(ctx context.Context, c client.Client) error {
			return fanOut(5, func(i int) error { return pay(idempotency.WithStep(ctx, strconv.Itoa(i)), c, strconv.Itoa(i)) })
		}, []string{"0", "1", "2", "3", "4"}},
		"one call after another in each of two goroutines, with steps": {func(ctx context.Context, c client.Client) error {
			return fanOut(2, func(i int) error {
				ctx := idempotency.WithStep(ctx, strconv.Itoa(i))
				return errors.Join(pay(ctx, c, "x"), pay(ctx, c, "y"))
			})
		}, []string{"x", "x", "y", "y"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				bank, shop := at.openBank(), at.openShop()
				runs := 0
				shop.order = func(ctx context.Context) error {
					runs++
					err := tt.order(ctx, shop.client)
					if err == nil && runs == 1 {
						err = idempotency.NotDone(errors.New("once more, please"))
					}
					return err
				}
				ctx, c := idempotency.WithKey(t.Context(), "order-7"), at.stockWith("order-7", "shop/Shop.Order")
				if err := call(ctx, c, "shop", "Shop.Order", "x"); err == nil || !strings.Contains(err.Error(), "once more") {
					t.Fatalf("first: %v", err)
				}
				bank.want(t, "after the first run", slices.Clone(tt.paid)...)
				must(t, call(ctx, c, "shop", "Shop.Order", "x"))
				if bank.want(t, "after the second run", slices.Clone(tt.paid)...); runs != 2 {
					t.Errorf("%d runs, want 2", runs)
				}
			})
		})
	}
}

// TestConcurrentCallsUnderOneKey are warned about once for each endpoint, unless steps
// tell them apart.
func TestConcurrentCallsUnderOneKey(t *testing.T) {
	for name, tt := range map[string]struct {
		step     func(context.Context, int) context.Context
		warnings int
	}{
		"without steps": {func(ctx context.Context, _ int) context.Context { return ctx }, 1},
		"with steps":    {func(ctx context.Context, i int) context.Context { return idempotency.WithStep(ctx, strconv.Itoa(i)) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				out := logtest.Default(t)
				bank, c := at.openBank(), at.wrapped()
				var all sync.WaitGroup // so that each call begins before any ends
				all.Add(3)
				bank.arrive = func() { all.Done(); all.Wait() }
				for range 2 {
					ctx := idempotency.WithKey(t.Context(), "order-7")
					must(t, fanOut(3, func(i int) error { return pay(tt.step(ctx, i), c, "x") }))
				}
				bank.want(t, "six calls, three keys", "x", "x", "x")
				if n := out.Count("run at the same time"); n != tt.warnings {
					t.Errorf("%d warnings, want %d: %s", n, tt.warnings, out)
				}
			})
		})
	}
}

func fanOut(n int, do func(i int) error) error {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = do(i) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// TestRunInAnotherOrder is told so, loudly, and executes nothing twice. Nor is that
// the last word: in the right order, or with steps, it ends well.
func TestRunInAnotherOrder(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		bank, shop := at.openBank(), at.openShop()
		orders := [][]string{{"ann", "bob"}, {"bob", "ann"}, {"bob", "ann"}, {"ann", "bob"}, {"ann", "bob"}}
		runs := 0
		shop.order = func(ctx context.Context) error {
			runs++
			for _, who := range orders[runs-1] {
				if err := pay(ctx, shop.client, who); err != nil {
					return err
				}
			}
			if runs == 1 {
				return idempotency.NotDone(errors.New("once more, please"))
			}
			return nil
		}
		c := at.stockWith("order-7", "shop/Shop.Order")
		for i, code := range []int32{500, 422, 422, 0, 0} {
			err := call(t.Context(), c, "shop", "Shop.Order", "x")
			if e := merrors.Parse(errorText(err)); e.Code != code && (code != 500 || err == nil) {
				t.Errorf("run %d: %v, want %d", i+1, err, code)
			}
			if code == 422 && !strings.Contains(errorText(err), "WithStep") {
				t.Errorf("run %d: %v says nothing of WithStep", i+1, err)
			}
			bank.want(t, "after run "+strconv.Itoa(i+1), "ann", "bob")
		}
		if runs != 4 {
			t.Errorf("%d runs, want 4: the fourth ended well", runs)
		}
	})
}

// TestMismatchIgnored by the handler, which goes on: it cannot execute twice what has
// another number now.
func TestMismatchIgnored(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		bank, shop, runs := at.openBank(), at.openShop(), 0
		shop.order = func(ctx context.Context) error {
			runs++
			if runs == 1 { // in the order ann, bob; and comes no further than ann
				return errors.Join(pay(ctx, shop.client, "ann"), idempotency.NotDone(errors.New("once more, please")))
			}
			return errors.Join(pay(ctx, shop.client, "bob"), pay(ctx, shop.client, "ann"))
		}
		c := at.stockWith("order-7", "shop/Shop.Order")
		for i := range 3 {
			if err := call(t.Context(), c, "shop", "Shop.Order", "x"); err == nil {
				t.Errorf("run %d ended well", i+1)
			}
			bank.want(t, "after run "+strconv.Itoa(i+1), "ann")
		}
		if runs != 3 {
			t.Errorf("%d runs, want 3: none had the last word", runs)
		}
	})
}

// TestHandlersOwnRetry of a call that was answered, but for good nowhere, keeps its
// key: a second run, in which nothing goes wrong, must find what the retry has done.
func TestHandlersOwnRetry(t *testing.T) {
	for name, tt := range map[string]struct {
		fails error
		paid  int // in two runs: what was answered for good was another call
	}{
		"busy":     {merrors.New("bank", "busy", 503), 1},
		"too many": {merrors.New("bank", "too many", 429), 1},
		"declined": {merrors.New("bank", "declined", 402), 1},
		"conflict": {merrors.New("bank", "conflict", 409), 1},
		"not done": {idempotency.NotDone(merrors.New("bank", "come back", 402)), 1},
		"no code":  {fmt.Errorf("provider: %w", context.DeadlineExceeded), 1},
	} {
		t.Run(name, func(t *testing.T) {
			eachTown(t, func(t *testing.T, at *town) {
				bank, shop, runs := at.openBank(), at.openShop(), 0
				bank.fails = []error{tt.fails}
				shop.order = func(ctx context.Context) error {
					runs++
					err := pay(ctx, shop.client, "ann")
					if err != nil {
						err = pay(ctx, shop.client, "ann")
					}
					if err == nil && runs == 1 {
						return idempotency.NotDone(errors.New("once more, please"))
					}
					return err
				}
				c := at.stockWith("order-7", "shop/Shop.Order")
				if err := call(t.Context(), c, "shop", "Shop.Order", "x"); err == nil || !strings.Contains(err.Error(), "once more") {
					t.Errorf("the first run ended with %v", err)
				}
				must(t, call(t.Context(), c, "shop", "Shop.Order", "x"))
				bank.want(t, "after two runs", slices.Repeat([]string{"ann"}, tt.paid)...)
			})
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

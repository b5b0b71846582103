package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpkey"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

// receipt is the answer of the example's server. All of it shows in JSON, so
// that it comes back equal from a record.
type receipt struct {
	Transfer int64 `json:"transfer"`
}

// transfers is the example's business.
type transfers struct {
	guard *idempotency.Guard
	count atomic.Int64
}

func (s *transfers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	key, _ := idempotency.KeyFrom(r.Context()) // the middleware has seen to it
	var reply receipt
	result, err := s.guard.Do(r.Context(), idempotency.Call{
		Service: "bank", Endpoint: "POST /transfers", Caller: "alice", // as authenticated
		Key: key, Body: body, Reply: &reply,
	}, func(context.Context) error {
		reply.Transfer = s.count.Add(1)
		return nil
	})
	if err != nil {
		writeError(w, err)
		return
	}
	if result.Replayed {
		w.Header().Set(idempotency.HeaderReplayed, "true")
	}
	fmt.Fprintf(w, "transfer %d", reply.Transfer)
}

// writeError answers with what the guard says in the handler's place, and with
// what the handler itself said to the client. A panic, and whatever else was not
// meant for the client, is for the log.
func writeError(w http.ResponseWriter, err error) {
	var refused *idempotency.Error
	var recorded *idempotency.RecordedError
	switch {
	case errors.As(err, &refused): // its cause is for the log, too
		if refused.RetryAfter > 0 {
			w.Header().Set("Retry-After", fmt.Sprintf("%.0f", refused.RetryAfter.Seconds()))
		}
		http.Error(w, refused.Reason.Error(), refused.Code)
	case errors.As(err, &recorded) && recorded.Code >= 400 && recorded.Code < 500:
		http.Error(w, recorded.Detail, recorded.StatusCode())
	case errors.Is(err, idempotency.ErrInvalidKey):
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}

// A guard in a plain HTTP server: the transfer is made once, however often the
// browser asks.
func ExampleGuard() {
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := idempotency.New(store)
	if err != nil {
		fmt.Println(err)
		return
	}
	requireKey, err := httpkey.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	server := requireKey(&transfers{guard: guard})

	post := func(key, body string) {
		request := httptest.NewRequest(http.MethodPost, "/transfers", strings.NewReader(body))
		if key != "" {
			request.Header.Set(idempotency.HeaderKey, key)
		}
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, request)
		fmt.Println(answer.Code, answer.Header().Get(idempotency.HeaderReplayed), strings.TrimSpace(answer.Body.String()))
	}
	post("8e03978e", "10 EUR to Bob")
	post("8e03978e", "10 EUR to Bob")
	post("8e03978e", "1000 EUR to Bob")
	post("d4f5e6a7", "10 EUR to Bob")

	if err := guard.Drain(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200  transfer 1
	// 200 true transfer 1
	// 422  this idempotency key was used with another request; mint a new key for a new request, and where several calls share one, name each with idempotency.WithStep
	// 200  transfer 2
}

// A handler that calls one endpoint more than once, and not always in the same
// order, names its steps, so that each call has the same key when it runs again.
func ExampleWithStep() {
	parent := idempotency.Key{Value: "order-7", For: "shop/Order.Place"}
	run := func(steps ...string) map[string]string {
		ctx, keys := idempotency.WithExecution(context.Background(), parent, "alice"), make(map[string]string)
		for _, step := range steps {
			ctx := idempotency.WithStep(ctx, step)
			key, done, err := idempotency.CallKey(ctx, "bank", "Wallet.Pay", nil, nil)
			if err != nil {
				fmt.Println(err)
				continue
			}
			keys[step] = key.Value
			done(false)
		}
		return keys
	}
	first, second := run("goods", "postage"), run("postage", "goods")
	fmt.Println(first["goods"] == second["goods"], first["postage"] == second["postage"])
	fmt.Println(first["goods"] == first["postage"])
	// Output:
	// true true
	// false
}

// What a browser sends may be quoted, as the IETF draft has it.
func ExampleParseKey() {
	key, err := idempotency.ParseKey(`"8e03978e-40d5-43dd-bc93-6894a57f9324"`)
	fmt.Println(key, err)
	_, err = idempotency.ParseKey("two words")
	fmt.Println(err)
	// Output:
	// 8e03978e-40d5-43dd-bc93-6894a57f9324 <nil>
	// idempotency: invalid key: the character at position 4 is not visible ASCII; a key is 1 to 255 visible ASCII characters, optionally in double quotes
}

// A handler says that nothing has happened, and may be asked again.
func ExampleNotDone() {
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := idempotency.New(store)
	if err != nil {
		fmt.Println(err)
		return
	}
	open := false
	call := idempotency.Call{Service: "bank", Endpoint: "Wallet.Pay", Key: idempotency.Key{Value: "k"}}
	for range 2 {
		_, err := guard.Do(context.Background(), call, func(context.Context) error {
			if !open {
				open = true
				return idempotency.NotDone(errors.New("the bank opens at nine"))
			}
			return nil
		})
		fmt.Println(err)
	}
	// Output:
	// the bank opens at nine
	// <nil>
}

// A payment that is declined is the last word, and keeps its row beside it where the
// store is transactional.
func ExampleFinalKeepWrites() {
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := idempotency.New(store)
	if err != nil {
		fmt.Println(err)
		return
	}
	declined := &idempotency.RecordedError{Code: 402, Detail: "declined by the provider"}
	call := idempotency.Call{Service: "bank", Endpoint: "Wallet.Pay", Key: idempotency.Key{Value: "k"}}
	for range 2 {
		result, err := guard.Do(context.Background(), call, func(context.Context) error {
			return idempotency.FinalKeepWrites(declined)
		})
		fmt.Println(err, result.Replayed)
	}
	// Output:
	// declined by the provider false
	// declined by the provider true
}

// What became of a request can be looked up, and settled by who knows better.
func ExampleGuard_Resolve() {
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := idempotency.New(store, idempotency.WithLogger(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, runs := context.Background(), 0
	call := idempotency.Call{Service: "bank", Endpoint: "Wallet.Pay", Key: idempotency.Key{Value: "k"}}
	pay := func() {
		_, err := guard.Do(ctx, call, func(context.Context) error { runs++; return nil })
		fmt.Println("runs:", runs, "error:", err)
	}
	pay()
	entry, err := guard.Lookup(ctx, idempotency.Scope{Service: "bank", Endpoint: "Wallet.Pay", Key: "k"})
	fmt.Println(entry.State, err)
	fmt.Println(guard.Resolve(ctx, entry, idempotency.NotExecuted())) // the ledger has no such row
	pay()
	fmt.Println(errors.Is(guard.Resolve(ctx, entry, idempotency.NotExecuted()), idempotency.ErrChanged))
	// Output:
	// runs: 1 error: <nil>
	// done <nil>
	// <nil>
	// runs: 2 error: <nil>
	// true
}

package httpguard_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

func Example() {
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
	guarded, err := httpguard.New("shop", guard)
	if err != nil {
		fmt.Println(err)
		return
	}
	tips := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "thank you")
	})
	mux := http.NewServeMux()
	mux.Handle("POST /tips", guarded.Wrap(tips))
	mux.Handle("GET /tips", guarded.Outcome(http.MethodPost))

	for _, method := range []string{"POST", "POST", "GET"} {
		r := httptest.NewRequest(method, "/tips", strings.NewReader(`{"cents":500}`))
		r.Header.Set("Idempotency-Key", "form-7")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Printf("%s: %d %s, replayed: %q\n", method, w.Code, w.Body, w.Header().Get("Idempotent-Replayed"))
	}
	// Output:
	// POST: 201 thank you, replayed: ""
	// POST: 201 thank you, replayed: "true"
	// GET: 200 thank you, replayed: "true"
}

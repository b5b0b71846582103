package httpkey_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpkey"
)

// A request needs a key, which the calls that its handler makes then carry.
func Example() {
	keyed, err := httpkey.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	tips := keyed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := idempotency.KeyFrom(r.Context())
		fmt.Fprint(w, "calls the bank under the key ", key.Value)
	}))
	for _, key := range []string{"form-7", "form 7"} {
		r := httptest.NewRequest(http.MethodPost, "/tips", http.NoBody)
		r.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		tips.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Code, w.Body)
		} else {
			fmt.Println(w.Code, w.Header().Get("Content-Type"))
		}
	}
	// Output:
	// 200 calls the bank under the key form-7
	// 400 application/problem+json
}

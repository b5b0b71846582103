package concurrency_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/oncemore-dev/oncemore/concurrency"
)

// A limiter works in front of whatever serves requests, here of net/http.
func ExampleLimiter() {
	limiter, err := concurrency.NewAdaptive()
	if err != nil {
		fmt.Println(err)
		return
	}
	const patience = 2 * time.Second // of our callers
	limited := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !limiter.Enter() {
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			began := time.Now()
			defer func() { limiter.Leave(time.Since(began), patience) }()
			next.ServeHTTP(w, r)
		})
	}
	_ = limited(http.NotFoundHandler())
	fmt.Printf("%+v\n", limiter.Snapshot())
	// Output: {Limit:20 Running:0 Admitted:0 Refused:0 Late:0}
}

package chain

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// headerInstance names the instance of the bank that asks.
const headerInstance = "Bank-Instance"

// provider is somebody else's payment API, which charges once for a key. What happens
// to its first answer for an order is up to the test.
type provider struct {
	*httptest.Server

	ends    chan struct{}
	charged func(instance string) // by the first request for an order, which is not answered in time

	mu   sync.Mutex
	keys map[string][]string // of an order: the keys it was charged under
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{keys: make(map[string][]string), ends: make(chan struct{}), charged: func(string) {}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		close(p.ends)
		p.Close()
	})
	return p
}

// ServeHTTP charges.
func (p *provider) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	what, key := string(body), r.Header.Get(idempotency.HeaderKey)
	p.mu.Lock()
	first := len(p.keys[what]) == 0
	if !slices.Contains(p.keys[what], key) {
		p.keys[what] = append(p.keys[what], key)
	}
	p.mu.Unlock()
	if first {
		p.charged(r.Header.Get(headerInstance))
		select {
		case <-r.Context().Done():
		case <-p.ends:
		}
	}
}

// charges counts how often an order was charged.
func (p *provider) charges(what string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.keys[what])
}

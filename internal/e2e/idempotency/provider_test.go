package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// provider is somebody else's payment API, which honours idempotency keys, and
// whose first answers come too late, or break off.
type provider struct {
	*httptest.Server

	mu      sync.Mutex
	charges map[string]int // by key: how often it was asked
	fails   func(w http.ResponseWriter, r *http.Request)
}

func newProvider(t *testing.T, fails func(w http.ResponseWriter, r *http.Request)) *provider {
	t.Helper()
	p := &provider{charges: make(map[string]int), fails: fails}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// ServeHTTP charges once for a key.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	key := r.Header.Get("Idempotency-Key")
	p.charges[key]++
	first := p.charges[key] == 1
	p.mu.Unlock()
	if first {
		p.fails(w, r)
	}
}

// charge is the recipe of docs/money.md, over HTTP.
func (p *provider) charge(ctx context.Context, c *http.Client) error {
	key, done, err := idempotency.CallKey(idempotency.WithStep(ctx, "charge"), "provider", "charges", nil, nil)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Idempotency-Key", key.Value)
	answer, err := c.Do(req)
	done(err != nil)
	if err != nil {
		return fmt.Errorf("charge: %w", err)
	}
	return answer.Body.Close()
}

// TestRecipeSurvivesAProviderTimeout: the provider has charged and its answer comes
// too late. The same form, submitted again, is paid with one charge and one row.
func TestRecipeSurvivesAProviderTimeout(t *testing.T) {
	for name, patience := range map[string]struct {
		ofClient, ofContext time.Duration
	}{
		"timeout of the client": {ofClient: 100 * time.Millisecond},
		"deadline of the call":  {ofContext: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, k *kind) {
				late := make(chan struct{})
				p := newProvider(t, func(_ http.ResponseWriter, r *http.Request) {
					select {
					case <-late:
					case <-r.Context().Done():
					}
				})
				defer close(late)
				client := &http.Client{Timeout: patience.ofClient, Transport: &http.Transport{DisableKeepAlives: true}}
				handler := func(ctx context.Context) error {
					paying := ctx
					if patience.ofContext > 0 {
						bounded, cancel := context.WithTimeout(ctx, patience.ofContext)
						defer cancel()
						paying = bounded
					}
					if err := p.charge(paying, client); err != nil {
						return err
					}
					return k.write(ctx)
				}
				submit := func() error {
					call, _ := tip("form-1")
					_, err := newGuard(t, k.store).Do(t.Context(), call, handler)
					return err
				}
				if err := submit(); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("the first time: %v, want the provider's timeout", err)
				}
				if n := k.rows(); n != 0 {
					t.Errorf("%d rows after the timeout, want 0", n)
				}
				for i := range 2 {
					if err := submit(); err != nil {
						t.Errorf("submitted again, %d: %v", i+1, err)
					}
				}
				if n := k.rows(); n != 1 {
					t.Errorf("%d rows, want 1", n)
				}
				if n := len(p.charges); n != 1 {
					t.Errorf("%d charges, want 1", n)
				}
			})
		})
	}
}

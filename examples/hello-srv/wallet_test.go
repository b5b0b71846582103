package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

// A tip that was certainly not written may be tried again under its key; one
// whose commit got no answer may not.
func TestTipThatFailedGivesItsKeyFree(t *testing.T) {
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	guard, err := idempotency.New(store)
	if err != nil {
		t.Fatal(err)
	}
	for key, tt := range map[string]struct {
		err  error
		runs int
	}{
		"busy":   {errors.New("database is locked"), 2},
		"commit": {fmt.Errorf("%w: connection reset", ledger.ErrCommit), 1},
	} {
		runs := 0
		for range 2 {
			call := idempotency.Call{Service: serviceName, Endpoint: tipEndpoint, Key: idempotency.Key{Value: key}}
			_, err := guard.Do(t.Context(), call, func(ctx context.Context) error {
				runs++
				return tipFailed(ctx, "xuxu", tt.err)
			})
			if err == nil {
				t.Errorf("%s: no error", key)
			}
		}
		if runs != tt.runs {
			t.Errorf("%s: ran %d times, want %d", key, runs, tt.runs)
		}
	}
}

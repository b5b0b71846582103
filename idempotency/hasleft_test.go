package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// overdue is a context whose deadline has passed and whose timer has not fired
// yet, as a store sees it that puts the deadline on its socket.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Now().Add(-time.Microsecond), true }

func TestCallerWhoseTimeIsUpIsNotToldOfAnOutage(t *testing.T) {
	guard, _ := newGuard(t, newStore(t))
	call := idempotency.Call{Service: "bank", Endpoint: "Tip", Key: idempotency.Key{Value: "k"}}
	_, err := guard.Do(overdue{t.Context()}, call, func(context.Context) error {
		t.Error("executed for a caller whose time was up")
		return nil
	})
	if !errors.Is(err, idempotency.ErrCanceled) {
		t.Errorf("error %v, want %v", err, idempotency.ErrCanceled)
	}
}

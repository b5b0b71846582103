package idempotency_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oncemore-dev/oncemore/idempotency"
)

type originKey struct{}

func originOf(ctx context.Context) string {
	origin, _ := ctx.Value(originKey{}).(string)
	return origin
}

// TestOriginReachesEveryDuplicate: who waited, and who came later, are told where the
// execution came from whose answer they got. One that is too long is left out.
func TestOriginReachesEveryDuplicate(t *testing.T) {
	for name, origin := range map[string]string{"none": "", "trace": "00-abc-def-01", "too long": strings.Repeat("x", 256)} {
		t.Run(name, func(t *testing.T) {
			want := origin
			if len(origin) > 255 {
				want = ""
			}
			guard, seen := newGuard(t, newStore(t), idempotency.WithOrigin(originOf))
			first, _ := tip("once")
			began, release := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := guard.Do(context.WithValue(t.Context(), originKey{}, origin), first, func(context.Context) error {
					close(began)
					<-release
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
			<-began
			wg.Go(func() { checkReplay(t, guard, idempotency.Result{Replayed: true, Joined: true, Origin: want}) })
			for seen.count(idempotency.EventJoined) == 0 {
				runtime.Gosched()
			}
			close(release)
			wg.Wait()
			checkReplay(t, guard, idempotency.Result{Replayed: true, Origin: want})
		})
	}
}

func checkReplay(t *testing.T, guard *idempotency.Guard, want idempotency.Result) {
	t.Helper()
	c, _ := tip("once")
	got, err := guard.Do(t.Context(), c, func(context.Context) error { t.Error("executed twice"); return nil })
	if err != nil || got != want {
		t.Errorf("got %+v and error %v, want %+v", got, err, want)
	}
}

// TestHooksSeeTheClaimAndTheStore, in their order.
func TestHooksSeeTheClaimAndTheStore(t *testing.T) {
	var told []string
	guard, err := idempotency.New(newStore(t), idempotency.WithHook(func(_ context.Context, e idempotency.Event) {
		told = append(told, strings.TrimSpace(e.Kind.String()+" "+string(e.Operation)))
		if e.Kind == idempotency.EventStoreOperation && e.Took <= 0 {
			t.Errorf("%s took %v, want more than 0", e.Operation, e.Took)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c, _ := tip("once")
		if _, err := guard.Do(t.Context(), c, func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"store operation claim", "claimed", "store operation complete", "executed", "store operation claim", "replayed",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

package wrapper

import (
	"context"
	"testing"
)

// tellNobody is all that events cost a call and its attempt that nobody observes.
func tellNobody(ctx context.Context, a *attempt) {
	ctx = a.call.beginCall(ctx)
	_ = a.trace(ctx, 0)
	a.call.tellEnd(nil)
}

func BenchmarkTellNobody(b *testing.B) {
	a := &attempt{call: &call{client: new(retryClient)}}
	b.ReportAllocs()
	for b.Loop() {
		tellNobody(b.Context(), a)
	}
}

// TestNobodyIsToldForNothing: without observers an event is not even made.
func TestNobodyIsToldForNothing(t *testing.T) {
	a := &attempt{call: &call{client: new(retryClient)}}
	if n := testing.AllocsPerRun(100, func() { tellNobody(t.Context(), a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

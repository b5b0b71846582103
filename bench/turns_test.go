package bench

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// turn is how many calls beside makes before it is the other's turn.
const turn = 200

// beside measures call, and how much longer it takes than base, which runs in
// turns with it. Medians over the turns are compared, since a pause of a
// machine that has other things to do hits only some of them.
func beside(b *testing.B, base, call func(context.Context) error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour) // go-micro's clients would add a deadline to each call
	defer cancel()
	var ours, theirs []float64
	left, start := turn, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if err := call(ctx); err != nil {
			b.Fatal(err)
		}
		if left--; left > 0 {
			continue
		}
		ours = append(ours, perCall(time.Since(start)))
		b.StopTimer()
		theirs = append(theirs, perCall(takeTurn(ctx, b, base)))
		b.StartTimer()
		left, start = turn, time.Now()
	}
	if len(ours) > 0 {
		b.ReportMetric(median(ours), "p50-ns/op")
		b.ReportMetric(median(ours)-median(theirs), "above-bare-ns/op")
	}
}

func takeTurn(ctx context.Context, b *testing.B, call func(context.Context) error) time.Duration {
	b.Helper()
	start := time.Now()
	for range turn {
		if err := call(ctx); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

func perCall(took time.Duration) float64 { return float64(took.Nanoseconds()) / turn }

// arm is one way to do something, of those that inTurns compares.
type arm struct {
	name string
	call func(context.Context) error
	// prepare, if not nil, gives each call a context of its own; its time does
	// not count.
	prepare func(context.Context) context.Context
}

// inTurns calls each arm once per operation, in random order, and reports the
// median of each. The first arm is the base and the second its control, which
// does the same: the ratio of any other arm is its median divided by the
// base's, over the control's median divided by the base's.
func inTurns(b *testing.B, arms []arm) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	took := make([][]float64, len(arms))
	order := make([]int, len(arms))
	for i := range order {
		order[i] = i
	}
	for b.Loop() {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			took[i] = append(took[i], timeOf(ctx, b, arms[i]))
		}
	}
	base := median(took[0])
	control := median(took[1]) / base
	for i, a := range arms {
		b.ReportMetric(median(took[i]), a.name+"-p50-ns")
		switch i {
		case 0:
		case 1:
			b.ReportMetric(control, a.name+"-ratio")
		default:
			b.ReportMetric(median(took[i])/base/control, a.name+"-ratio")
		}
	}
}

func timeOf(ctx context.Context, b *testing.B, a arm) float64 {
	b.Helper()
	if a.prepare != nil {
		ctx = a.prepare(ctx)
	}
	start := time.Now()
	err := a.call(ctx)
	took := time.Since(start)
	if err != nil {
		b.Fatalf("%s: %v", a.name, err)
	}
	return float64(took.Nanoseconds())
}

func median[T cmp.Ordered](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

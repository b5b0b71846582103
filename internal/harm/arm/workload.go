package arm

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/node"
)

// callersTime is how long a patient caller waits.
const callersTime = time.Second

// workload is a sequence of calls, the same for both arms.
type workload struct {
	service string
	rate    float64 // calls a second
	seed    uint64
	// shape completes call i's order with numbers of its own, and says how long
	// its caller waits and whether an answer is expected of it.
	shape func(i uint64, random *rand.Rand, o *node.Order) (patience time.Duration, expected bool)
}

// request is one call.
type request struct {
	order    node.Order
	patience time.Duration
	expected bool
}

// newWorkload returns the workload of that name.
func newWorkload(name string, seed uint64) workload {
	w := workload{service: node.LeafService, seed: seed, rate: 50, shape: fast}
	switch name {
	case cell.Fast:
		w.rate = 60
	case cell.Slow:
		w.shape = slow
	case cell.Mixed:
		w.shape = mixed
	case cell.Chain:
		w.service, w.rate, w.shape = node.OuterService, 30, steady
	case cell.Impatient:
		w.rate, w.shape = 75, impatient
	case cell.Large:
		w.rate, w.shape = 20, large
	case cell.Fan:
		w.service, w.rate, w.shape = node.FanService, 20, fast
	}
	return w
}

// request returns call i.
func (w workload) request(i uint64) request {
	r := request{order: node.Order{ID: "call-" + strconv.FormatUint(i, 10)}}
	r.patience, r.expected = w.shape(i, rand.New(rand.NewPCG(w.seed, i)), &r.order)
	return r
}

func fast(_ uint64, random *rand.Rand, o *node.Order) (time.Duration, bool) {
	o.Work = time.Duration(random.Float64() * float64(2*time.Millisecond))
	return callersTime, true
}

func slow(_ uint64, random *rand.Rand, o *node.Order) (time.Duration, bool) {
	o.Work = time.Duration((0.3 + 0.6*random.Float64()) * float64(callersTime))
	return callersTime, true
}

func mixed(i uint64, random *rand.Rand, o *node.Order) (time.Duration, bool) {
	if random.IntN(5) == 0 {
		return slow(i, random, o)
	}
	return fast(i, random, o)
}

func steady(_ uint64, _ *rand.Rand, o *node.Order) (time.Duration, bool) {
	o.Work = 60 * time.Millisecond
	return callersTime, true
}

// impatient callers come in no order, or a strategy with one would meet them with
// always the same instance.
func impatient(_ uint64, random *rand.Rand, o *node.Order) (time.Duration, bool) {
	o.Work = 50 * time.Millisecond
	if random.IntN(3) == 0 {
		return callersTime, true
	}
	return 20 * time.Millisecond, false
}

func large(_ uint64, random *rand.Rand, o *node.Order) (time.Duration, bool) {
	o.Size = 16<<10 + random.IntN(240<<10)
	if random.IntN(16) == 0 {
		o.Size = 1280 << 10 // more than a store keeps
	}
	return callersTime, true
}

package wrapper

import (
	"sync/atomic"
	"time"
)

// trouble is what keeps a service or an endpoint from being hedged: it grows by one
// with each attempt that times out, is refused or pushed back, up to ten, and shrinks
// by a tenth with each that is answered. From five on, nothing is hedged: more load is
// the last that an overloaded service needs. The rule and its numbers are those of
// gRPC's retry throttling (gRFC A6). A hedge that was sent in vain, because the first
// attempt was answered sooner, weighs two, for its endpoint: where all instances have
// become slow that is seen long before anything times out. Trouble lasts for a second
// at least. The zero value is none. It is safe for concurrent use.
type trouble struct {
	tenths atomic.Int32
	until  atomic.Int64 // which nothing is hedged, in Unix nanoseconds
}

const (
	troubleOfOne   = 10
	troubleOfLost  = 20
	mostTrouble    = 100
	tooMuchTrouble = 50
	leastTrouble   = time.Second
)

// isDeep tells whether nothing is hedged now.
func (t *trouble) isDeep(now time.Time) bool {
	return t.tenths.Load() >= tooMuchTrouble || now.UnixNano() < t.until.Load()
}

func (t *trouble) add(tenths int32) {
	for {
		was := t.tenths.Load()
		is := min(max(was+tenths, 0), mostTrouble)
		if is == was || t.tenths.CompareAndSwap(was, is) {
			break
		}
	}
	if tenths > 0 && t.tenths.Load() >= tooMuchTrouble {
		t.until.Store(time.Now().Add(leastTrouble).UnixNano())
	}
}

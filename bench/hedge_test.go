package bench

import (
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// BenchmarkHedge is one successful call over a real connection by a client that
// would hedge it, had it taken longer, beside one that would not.
func BenchmarkHedge(b *testing.B) {
	for _, transport := range fixture.Transports() {
		b.Run("transport="+transport, func(b *testing.B) {
			plain := newDialer(b, transport, serve(b, transport))
			fixed, adaptive := wrapper.WithHedge(time.Second), wrapper.WithAdaptiveHedge(0.95, time.Second, 2*time.Second)
			inTurns(b, []arm{
				{name: "off", call: calling(wrapped(b, plain.dial(b)), read)},
				{name: "control", call: calling(wrapped(b, plain.dial(b)), read)},
				{name: "fixed", call: calling(wrapped(b, plain.dial(b), fixed), read)},
				{name: "adaptive", call: calling(wrapped(b, plain.dial(b), adaptive), read)},
			})
		})
	}
}

package hystrix

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
)

const (
	distinctAddresses = 40_000
	// By so many, a Set remembers as many as it ever will.
	fullAddresses = 25_000
	poolSize      = 256
)

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// live drives one address through a life: most vanish tripped, some recover.
func (s shown) live(t *testing.T, i int) {
	t.Helper()
	address := fmt.Sprintf("10.%d.%d.%d:8080", i>>16, i>>8&255, i&255)
	for range 5 {
		s.attempt(address, breaker.Broken)
	}
	if i%8 != 1 {
		return
	}
	if name, ok := s.mirror.Circuit(address); ok {
		// As after a real sleep window. hystrix keeps latencies for a minute
		// on the wall clock, and drops them when an open circuit closes.
		eventually(t, "hystrix shows the circuit open", func() bool { return hystrixOpen(t, name) })
	}
	s.attempt(address, breaker.Success)
}

func TestAddressesThatComeAndGoLeakNothing(t *testing.T) {
	tests := []struct {
		name string
		step time.Duration // between two addresses
		opts []Option
	}{
		{"over hours", 500 * time.Millisecond, nil},
		{"at once", 0, nil},
		{"over hours, on the dashboard", 500 * time.Millisecond, []Option{WithDashboard(true)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := show(t, append([]Option{WithPoolSize(poolSize)}, tt.opts...)...)
			hystrixBefore, goroutinesBefore := hystrixGoroutines(), runtime.NumGoroutine()
			var early int64
			for i := range distinctAddresses {
				s.live(t, i)
				s.clock.advance(tt.step)
				if i == fullAddresses {
					early = heap()
				}
			}
			grown := heap() - early
			circuits := s.mirror.Stats().Circuits
			t.Logf("%d circuits, heap %d KB, then grown by %d KB", circuits, early>>10, grown>>10)

			eventually(t, "no goroutine but hystrix's, two for each circuit made", func() bool {
				hystrix := hystrixGoroutines() - hystrixBefore
				return hystrix == 2*circuits && runtime.NumGoroutine()-goroutinesBefore <= hystrix
			})
			if circuits > poolSize {
				t.Errorf("%d circuits from a pool of %d", circuits, poolSize)
			}
			if got := len(s.mirror.circuits) + len(s.mirror.pool.rested); got > poolSize {
				t.Errorf("%d circuits are in use or at rest, of a pool of %d", got, poolSize)
			}
			if grown > 1<<20 {
				t.Errorf("the heap grew by %d KB after the Set was full", grown>>10)
			}
			runtime.KeepAlive(s)
		})
	}
}

func TestMoreLiveAddressesThanThePoolHolds(t *testing.T) {
	const live, size = 64, 4
	s := show(t, WithPoolSize(size))
	address := func(i int) string { return fmt.Sprintf("10.0.0.%d:1", i) }
	for i := range live {
		for range 4 {
			s.attempt(address(i), breaker.Broken)
		}
		if s.isOpen(address(i)) {
			t.Fatalf("%s tripped after four", address(i))
		}
		s.attempt(address(i), breaker.Broken)
	}
	shown := 0
	for i := range live {
		if !s.isOpen(address(i)) {
			t.Errorf("%s did not trip after five", address(i))
		}
		if _, ok := s.mirror.Circuit(address(i)); ok {
			shown++
		}
	}
	if shown != size {
		t.Errorf("%d addresses are shown, want %d", shown, size)
	}
	if got := s.mirror.Stats().Circuits; got != size {
		t.Errorf("%d circuits, want %d", got, size)
	}
	if got := s.Stats().Open; got != live {
		t.Errorf("%d addresses are open, want %d", got, live)
	}
	s.clock.advance(time.Second)
	for i := range live {
		if !s.Probe(address(i), true) || s.Probe(address(i), true) {
			t.Errorf("%s did not grant exactly one probe", address(i))
		}
		s.attempt(address(i), breaker.Success)
		if s.isOpen(address(i)) {
			t.Errorf("%s did not recover", address(i))
		}
	}
	if s.AnyOpen() {
		t.Errorf("open after all recovered: %+v", s.Stats())
	}
}

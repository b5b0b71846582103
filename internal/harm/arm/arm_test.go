//go:build linux

package arm

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"go-micro.dev/v4/registry"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, leak.GoMicro()...) }

func newPort(t *testing.T) *port {
	t.Helper()
	p, err := reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestReservedPortRefusesUntilSomebodyListens(t *testing.T) {
	p := newPort(t)
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if _, err := dialer.DialContext(t.Context(), "tcp", p.address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v, want %v", err, syscall.ECONNREFUSED)
	}
	for range 2 {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", p.address)
		if err != nil {
			t.Fatalf("listen on a reserved port: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVanished: no dial is answered, however many there are.
func TestVanished(t *testing.T) {
	p := newPort(t)
	if err := p.vanish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address)
		cancel()
		if err == nil {
			t.Errorf("connected to %v, want no answer", conn.RemoteAddr())
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v, want no answer", err)
		}
	}
}

// TestArmsMakeTheSameCalls: a call depends on the seed and its number only.
func TestArmsMakeTheSameCalls(t *testing.T) {
	for _, name := range cell.Dimensions()[0].Values {
		one, two, other := newWorkload(name, 7), newWorkload(name, 7), newWorkload(name, 8)
		ids := make(map[string]bool)
		differs := false
		for i := range uint64(100) {
			r := one.request(i)
			if got := two.request(i); got != r {
				t.Errorf("%s: call %d is %+v and %+v", name, i, r, got)
			}
			differs = differs || other.request(i) != r
			ids[r.order.ID] = true
			if r.expected && r.order.Work >= r.patience {
				t.Errorf("%s: call %d needs %v of %v and should be answered", name, i, r.order.Work, r.patience)
			}
		}
		if len(ids) != 100 {
			t.Errorf("%s: 100 calls have %d ids", name, len(ids))
		}
		if random := name != cell.Chain; differs != random {
			t.Errorf("%s: another seed makes other calls: %v, want %v", name, differs, random)
		}
	}
}

// TestFaultsHappenInOrder, and within the run.
func TestFaultsHappenInOrder(t *testing.T) {
	for _, name := range cell.Dimensions()[1].Values {
		f := &fleet{spec: Spec{Cell: cell.Cell{Fleet: name}}, leaves: make([]*instance, 3)}
		for i := range f.leaves {
			f.leaves[i] = &instance{service: new(registry.Service)}
		}
		var last time.Duration
		const length = 2 * time.Second
		for _, fault := range f.faults(length, nil) {
			if fault.at <= last || fault.at >= length {
				t.Errorf("%s: a fault at %v, want one after %v and before %v", name, fault.at, last, length)
			}
			last = fault.at
		}
	}
}

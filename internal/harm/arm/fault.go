//go:build linux

package arm

import (
	"context"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/node"
)

const (
	// downTime is how long a restarted instance is away.
	downTime = 300 * time.Millisecond
	// moveTime is how long it takes the registry to learn where the only
	// instance has gone.
	moveTime = 300 * time.Millisecond
)

// fault is what happens at a moment of the run.
type fault struct {
	at time.Duration
	do func(context.Context) error
}

// faults returns what the cell's fleet goes through in a run of that length.
func (f *fleet) faults(length time.Duration, own registry.Registry) []fault {
	at := func(share float64) time.Duration { return time.Duration(share * float64(length)) }
	switch f.spec.Cell.Fleet {
	case cell.OneDead:
		return []fault{{at(0.25), kill(f.leaves[0])}}
	case cell.OneFrozen:
		return []fault{{at(0.25), func(context.Context) error { return f.leaves[0].process.Freeze() }}}
	case cell.AllDead:
		return []fault{{at(0.5), kill(f.leaves...)}}
	case cell.Restarted:
		return []fault{
			{at(0.15), kill(f.leaves[0])}, {at(0.15) + downTime, f.restart(f.leaves[0])},
			{at(0.6), kill(f.leaves[1])}, {at(0.6) + downTime, f.restart(f.leaves[1])},
		}
	case cell.Moved:
		return []fault{{at(0.3), kill(f.leaves[0])}, {at(0.3) + moveTime, func(context.Context) error {
			return f.announce(node.Change{
				Register:   []*registry.Service{f.leaves[1].service},
				Deregister: []*registry.Service{f.leaves[0].service},
			}, own)
		}}}
	}
	return nil
}

func kill(all ...*instance) func(context.Context) error {
	return func(context.Context) error {
		for _, n := range all {
			n.killed = true
			if err := n.process.Kill(); err != nil {
				return err
			}
		}
		return nil
	}
}

func (f *fleet) restart(n *instance) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := f.launch(n); err != nil {
			return err
		}
		n.killed = false
		return n.await(ctx)
	}
}

// carryOut lets the faults happen, from start on.
func carryOut(ctx context.Context, start time.Time, all []fault) error {
	for _, next := range all {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Until(start.Add(next.at))):
		}
		if err := next.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// thaw lets a frozen instance do what it still has in its sockets.
func (f *fleet) thaw() error {
	if f.spec.Cell.Fleet != cell.OneFrozen {
		return nil
	}
	return f.leaves[0].process.Thaw()
}

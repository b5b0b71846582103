package selectorx

import (
	"context"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// snapshot is what a feed knows of one service at one moment. Nothing in it is ever
// changed, and a node that stays has the same pointer in the next one.
type snapshot struct {
	services []*registry.Service // as the registry tells them
	members  []member            // their nodes, one for each address
	origin
	ctx  context.Context // tells a selection of this snapshot; see snapshotOf
	next selector.Next   // picks by balance

	once    sync.Once
	indexed map[string]int // address → place among the members

	derived sync.Map // what Choice.Once has computed
}

// member is a node that can be called.
type member struct {
	node *registry.Node
	load *nodeLoad
}

// origin is what the snapshots of one Flat have in common.
type origin struct {
	clock time.Time // zero of the clock of loads
	codes *strategyCodes
}

func newSnapshot(services []*registry.Service, members []member, of origin) *snapshot {
	s := &snapshot{services: services, members: members, origin: of}
	s.ctx, s.next = snapshotContext{context.Background(), s}, s.balanced
	return s
}

// find returns the member with an address. Most calls need no index, so that it is
// made for the first that does.
func (s *snapshot) find(address string) (member, bool) {
	s.once.Do(func() {
		s.indexed = make(map[string]int, len(s.members))
		for i := range s.members {
			s.indexed[s.members[i].node.Address] = i
		}
	})
	i, ok := s.indexed[address]
	if !ok {
		return member{}, false
	}
	return s.members[i], true
}

// kindOf tells the kind of a strategy; without a snapshot only Random is known.
func (s *snapshot) kindOf(strategy selector.Strategy) strategyKind {
	if s == nil {
		return (*strategyCodes)(nil).kindOf(strategy)
	}
	return s.codes.kindOf(strategy)
}

// inFlight counts the attempts on the members.
func (s *snapshot) inFlight() (n int) {
	if s == nil {
		return 0
	}
	for _, m := range s.members {
		n += int(m.load.inflight.Load())
	}
	return n
}

// holds tells whether services are the snapshot's own, with nothing filtered out.
func (s *snapshot) holds(services []*registry.Service) bool {
	return s != nil && len(services) == len(s.services) && len(services) > 0 && &services[0] == &s.services[0]
}

// snapshotContext hands a snapshot to the options of a selection, where there is no
// other place for it.
type snapshotContext struct {
	context.Context //nolint:containedctx // adds one value to another context

	snapshot *snapshot
}

type snapshotKey struct{}

// Value finds the snapshot.
func (c snapshotContext) Value(key any) any {
	if key == (snapshotKey{}) {
		return c.snapshot
	}
	return c.Context.Value(key)
}

// snapshotOf returns the snapshot that a Flat selects from, or nil where the selector
// is another one.
func snapshotOf(o *selector.SelectOptions) *snapshot {
	if o.Context == nil {
		return nil
	}
	s, _ := o.Context.Value(snapshotKey{}).(*snapshot)
	return s
}

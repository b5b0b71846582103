package wrapper

import (
	"slices"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/selectorx"
)

// leastSpare is how many attempts may be begun beside others in a tree of calls, for
// lateness, even where its first call makes fewer itself: of two paths that go to
// different instances at each hop, one passes by any instance that hangs.
const leastSpare = DefaultAttempts - 1

// spare is what lateness may still bring forth for a call. Of the loop, but for path,
// which does not change.
type spare struct {
	limited bool // by the caller's own caller
	left    int  // attempts to be begun beside others
	path    int  // that the call is on, 0 for the first
}

// spareOf is what a call has: what the handler that makes it was given, or its own.
func (s *call) spareOf() spare {
	if h := handlingOf(s.ctx); h != nil {
		if r := h.ration(); r.limited {
			return spare{limited: true, left: r.spare, path: r.path}
		}
	}
	return spare{left: max(leastSpare, s.overrides.attempts-1)}
}

// ration gives the attempt its part, when it is begun. How much of it the call keeps
// for itself depends on the instances, which are not known yet.
func (s *call) ration(a *attempt) {
	a.ration = ration{known: true, limited: s.spare.limited, spare: s.spare.left, path: s.spare.path}
	if s.running > 0 && s.isSending() {
		a.ration = ration{known: true, limited: true, path: max(s.spare.left, 1)}
		s.spare.left = max(s.spare.left-1, 0)
	}
}

// isSending tells whether another attempt may run somewhere.
func (s *call) isSending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sending > 0
}

// rationFor is what the attempt says of itself to the server: nothing to one that would
// not keep it from its handler, who would pass it on.
func (a *attempt) rationFor(node *registry.Node, left time.Duration) ration {
	if !keepsAttemptTime(node) {
		return ration{}
	}
	r := a.ration
	r.time = left
	if kept := a.keeps(node); kept > 0 && r.spare > 0 {
		r.limited, r.spare = true, r.spare-kept
	}
	return r
}

// keepsAttemptTime tells whether a server announces that it keeps what an attempt has
// left from its handlers. The first version that announced itself does not.
func keepsAttemptTime(node *registry.Node) bool {
	announced := node.Metadata[MetadataServer]
	return announced != "" && announced != "1"
}

// keeps is how many attempts the call may yet begin itself beside this one.
func (a *attempt) keeps(node *registry.Node) int {
	s := a.call
	if a.late.IsZero() || s.overrides.attemptTimeout > 0 || !s.mayBeRepeated() {
		return 0
	}
	return s.others(node, min(a.ration.spare, a.left-1))
}

// mayBeRepeated tells whether an attempt that is late may be followed by another. The
// user's own policy is not asked before there is one.
func (s *call) mayBeRepeated() bool {
	if s.overrides.policy != nil || s.overrides.retry != nil {
		return true
	}
	_, repeatable := s.state()
	return repeatable
}

// others counts the admitted instances that the call has not tried, up to most.
func (s *call) others(node *registry.Node, most int) (count int) {
	for _, service := range s.nodes.Services() {
		for _, other := range service.Nodes {
			if count >= most {
				return count
			}
			if other.Address == node.Address || s.nodes.Tried(other.Address) {
				continue
			}
			if open, _ := s.client.breaker.Open(other.Address); !open {
				count++
			}
		}
	}
	return count
}

// maySpare tells whether another attempt may be begun beside one that is late: from
// what is left for that, or because the endpoint has answered others since, so that it
// is this instance that hangs.
func (s *call) maySpare(a *attempt) bool {
	if !s.spare.limited || s.spare.left > 0 {
		return true
	}
	return s.endpoint.answered.Load() > s.beganAt(a).UnixNano()
}

func (s *call) beganAt(a *attempt) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.entered {
		return time.Now()
	}
	return s.attempts[a.entry].Began
}

// half is the part of the instances that a call's first attempt is made among where it
// is on another path than the first, so that not all paths meet the same one. It is nil
// where there is no choice.
func (s *call) half(services []*registry.Service) []*registry.Service {
	if s.spare.path == 0 || s.streaming || s.hasBegun() {
		return nil
	}
	var addresses []string
	for _, service := range services {
		if service != nil {
			for _, node := range service.Nodes {
				addresses = append(addresses, node.Address)
			}
		}
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	var half []*registry.Service
	for _, service := range services {
		if service == nil {
			return nil
		}
		part := *service
		part.Nodes = nil
		for _, node := range service.Nodes {
			if i, _ := slices.BinarySearch(addresses, node.Address); i%2 == s.spare.path%2 {
				part.Nodes = append(part.Nodes, node)
			}
		}
		half = append(half, &part)
	}
	if !s.nodes.UntriedAmong(half) {
		return nil
	}
	return half
}

func (s *call) hasBegun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.attempts) > 0
}

// pickFrom picks the node of an attempt.
func (a *attempt) pickFrom(choice *selectorx.Choice, retriable bool) (*registry.Node, error) {
	nodes := &a.call.nodes
	if half := a.call.half(choice.Services()); half != nil {
		if node, err := nodes.PickAmong(half, choice, retriable); err == nil {
			return node, nil
		}
	}
	return nodes.PickFrom(choice, retriable)
}

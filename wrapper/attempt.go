package wrapper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// attempt is one try of a call, from the moment it was given a node.
type attempt struct {
	Attempt
	began  time.Time
	again  bool // the call had tried this address before
	ended  bool // its outcome is known
	judged bool // whether to retry it has been decided
}

// attempt is the CallFunc that go-micro's loop runs for each try.
func (s *call) attempt(
	ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions,
) error {
	node = s.substitute(node, opts.Address)
	i, err := s.begin(ctx, node, req)
	if err != nil {
		return err
	}
	t := s.newTry(i, node, req, rsp, opts)
	t.limit(s.timeLimit(ctx, opts.RequestTimeout))
	err = t.run(s.terms.withMetadata(ctx, i+1, s.streamID(node)))
	s.end(i, t, err)
	return err
}

// substitute picks the node itself where go-micro took one of the addresses that
// the caller gave: it then bypasses every strategy and would return to a dead
// one. Any other node is a proxy, or another wrapper's choice.
func (s *call) substitute(node *registry.Node, addresses []string) *registry.Node {
	if !slices.Contains(addresses, node.Address) {
		return node
	}
	return s.among(addresses, node)
}

// among chooses one of the addresses for a node that is otherwise like the given
// one, which it returns where none of them is an address.
func (s *call) among(addresses []string, like *registry.Node) *registry.Node {
	nodes := make([]*registry.Node, len(addresses))
	for i, address := range addresses {
		nodes[i] = &registry.Node{Id: like.Id, Address: address, Metadata: like.Metadata}
	}
	return cmp.Or(s.nodes.Substitute(nodes), like)
}

// begin enters an attempt on node into the call's story. The error says why the
// attempt must not be made: the caller has gone, or the call has no valid key.
func (s *call) begin(ctx context.Context, node *registry.Node, req client.Request) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || ctx.Err() != nil {
		return 0, gone(ctx)
	}
	if err := s.agree(ctx, req); err != nil {
		return 0, err
	}
	s.running++
	s.attempts = append(s.attempts, attempt{
		Attempt: Attempt{Number: len(s.attempts) + 1, Address: node.Address},
		began:   time.Now(),
		again:   slices.ContainsFunc(s.attempts, func(a attempt) bool { return a.Address == node.Address }),
	})
	return len(s.attempts) - 1, nil
}

// gone is what an attempt answers that was started after its call had ended.
func gone(ctx context.Context) error {
	return merrors.Timeout("go.micro.client", "call ended before this attempt was sent: %v", context.Cause(ctx))
}

// end enters how attempt i ended, and moves its reply into place if the caller
// is still there to read it.
func (s *call) end(i int, t *try, err error) {
	class := retryfunc.None
	if err != nil {
		class = s.classify(err, t.evidence())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.alone = s.alone && !t.beside.abandoned
	if s.closed { // and the attempt's end was told when it was
		return
	}
	a := &s.attempts[i]
	a.ended, a.Class, a.Duration = true, class, time.Since(a.began)
	s.report(a, err)
	if err == nil {
		t.deliver()
	}
}

// evidence is what is known of any attempt of this call.
func (s *call) evidence() retryfunc.Evidence {
	return retryfunc.Evidence{Client: s.client.kind, Service: s.req.Service()}
}

// classify says how an attempt ended. A caller who cancelled explains every
// error, whatever text go-micro put on it.
func (s *call) classify(err error, ev retryfunc.Evidence) retryfunc.Class {
	if errors.Is(s.ctx.Err(), context.Canceled) {
		return retryfunc.Canceled
	}
	return retryfunc.Classify(err, ev)
}

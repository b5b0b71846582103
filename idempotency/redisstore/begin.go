package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Begin implements [idempotency.Store]. A first claim and a replay cost one
// command each; what is running, orphaned or released costs a second one. It
// answers Running at once, whatever c.Wait is.
//
// ctx's deadline is kept; its cancellation is noticed no later than the
// client's ReadTimeout.
func (s *Store) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	out, err := s.begin(ctx, &c)
	if err != nil {
		return idempotency.Outcome{}, fmt.Errorf("redisstore: claim %v: %w", c.Key, err)
	}
	return out, nil
}

func (s *Store) begin(ctx context.Context, c *idempotency.Claim) (idempotency.Outcome, error) {
	e := &execution{
		store: s, key: c.Key, name: s.name(c.Key), owner: c.Owner, retention: milliseconds(c.Retention),
		ttl: milliseconds(c.Lease) + milliseconds(c.Retention), releaseMemory: milliseconds(c.ReleaseMemory),
	}
	claim := appendAbout(newClaim(c, aboutSize(c)), c, s.clock.now())
	if s.watches.has(c.Key) { // so it was there a moment ago
		claim.watch()
	} else if out, ok, err := s.claimAbsent(ctx, e, claim); ok || err != nil {
		return out, err
	}
	return s.claimPresent(ctx, e, claim, c.Takeover)
}

// claimAbsent claims a key that is absent, or finds that it is done. With
// neither, ok is false.
func (s *Store) claimAbsent(
	ctx context.Context, e *execution, claim value,
) (out idempotency.Outcome, ok bool, err error) {
	var set *redis.StringCmd
	name := e.name
	acknowledged, err := s.send(ctx, name, func() redis.Cmder {
		set = redis.NewStringCmd(ctx, "set", name, []byte(claim), "nx", "get", "px", e.ttl)
		return set
	})
	if errors.Is(err, redis.Nil) {
		return e.acquired(claim), true, s.enough(acknowledged)
	}
	if isFull(err) { // the key may be there all the same
		return out, false, nil
	}
	if err != nil {
		return out, false, err
	}
	old, err := parseValue(set.Val())
	if err != nil {
		return out, false, idempotency.NotApplied(err)
	}
	return done(old), old.state() == stateDone, nil
}

// claimPresent claims a key whatever its state.
func (s *Store) claimPresent(
	ctx context.Context, e *execution, claim value, takeover bool,
) (out idempotency.Outcome, err error) {
	wanted := "0"
	if takeover {
		wanted = "1"
	}
	command, acknowledged, err := s.runScript(ctx, s.scripts.claim, []string{e.name}, []byte(claim), e.ttl, wanted)
	if err != nil {
		return out, err
	}
	answer, err := command.StringSlice()
	if err != nil || len(answer) != 2 {
		return out, errors.Join(errValue, err)
	}
	return s.claimed(e, answer[0], answer[1], acknowledged)
}

// claimed reads the answer of the claim script.
func (s *Store) claimed(e *execution, state, text string, acknowledged int) (out idempotency.Outcome, err error) {
	v, err := parseValue(text)
	if err != nil {
		return out, idempotency.NotApplied(err)
	}
	switch state {
	case "acquired":
		return e.acquired(v), s.enough(acknowledged)
	case "done":
		return done(v), nil
	case "running":
		return idempotency.Outcome{State: idempotency.Running, Fingerprint: v.fingerprint()}, nil
	case "superseded":
		return idempotency.Outcome{State: idempotency.Superseded, Attempt: v.attempt()}, nil
	case "orphaned":
		return idempotency.Outcome{State: idempotency.Orphaned, Fingerprint: v.fingerprint()}, nil
	}
	return out, errValue
}

func done(v value) idempotency.Outcome {
	return idempotency.Outcome{State: idempotency.Done, Record: v.record(), Fingerprint: v.fingerprint()}
}

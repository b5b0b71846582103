package idempotency_test

import (
	"testing"

	"github.com/oncemore-dev/oncemore/idempotency"
)

func TestHoldingClaimedBy(t *testing.T) {
	mine, theirs := idempotency.Owner{1}, idempotency.Owner{2}
	body, other := idempotency.Fingerprint{1, 1}, idempotency.Fingerprint{1, 2}
	held := func(s idempotency.State) idempotency.Holding {
		return idempotency.Holding{State: s, Owner: theirs, Fence: 3, Attempt: 7, Fingerprint: body}
	}
	own := held(idempotency.Orphaned)
	own.Owner, own.TakenOver = mine, true
	for name, c := range map[string]struct {
		found     idempotency.Holding
		claim     idempotency.Claim
		state     idempotency.State
		fence     uint64
		takenOver bool
	}{
		"absent":                      {idempotency.Holding{State: idempotency.Absent}, idempotency.Claim{}, idempotency.Acquired, 1, false},
		"nothing":                     {idempotency.Holding{}, idempotency.Claim{}, idempotency.Acquired, 1, false},
		"done":                        {held(idempotency.Done), idempotency.Claim{Takeover: true}, idempotency.Done, 0, false},
		"running":                     {held(idempotency.Running), idempotency.Claim{Takeover: true}, idempotency.Running, 0, false},
		"one's own":                   {own, idempotency.Claim{}, idempotency.Acquired, 3, true},
		"orphaned":                    {held(idempotency.Orphaned), idempotency.Claim{}, idempotency.Orphaned, 0, false},
		"orphaned, taken over":        {held(idempotency.Orphaned), idempotency.Claim{Takeover: true, Fingerprint: body}, idempotency.Acquired, 4, true},
		"orphaned, of another body":   {held(idempotency.Orphaned), idempotency.Claim{Takeover: true, Fingerprint: other}, idempotency.Orphaned, 0, false},
		"released, sent before":       {held(idempotency.Released), idempotency.Claim{Attempt: 6}, idempotency.Superseded, 0, false},
		"released, the same attempt":  {held(idempotency.Released), idempotency.Claim{Attempt: 7}, idempotency.Acquired, 4, false},
		"released, sent after, other": {held(idempotency.Released), idempotency.Claim{Attempt: 8, Fingerprint: other}, idempotency.Acquired, 4, false},
	} {
		if name != "nothing" && name != "absent" {
			c.claim.Owner = mine
		}
		state, fence, takenOver := c.found.ClaimedBy(&c.claim)
		if state != c.state {
			t.Errorf("%s: %v, want %v", name, state, c.state)
		}
		if fence != c.fence {
			t.Errorf("%s: fence %d, want %d", name, fence, c.fence)
		}
		if takenOver != c.takenOver {
			t.Errorf("%s: taken over %v, want %v", name, takenOver, c.takenOver)
		}
	}
}

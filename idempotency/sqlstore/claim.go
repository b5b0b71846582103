package sqlstore

import (
	"sync"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// claim is a claim whose key and owner are arguments of many statements: as such
// they are made once.
type claim struct {
	idempotency.Claim

	key, owner any
}

func newClaim(c idempotency.Claim) *claim {
	own := &claim{Claim: c}
	own.key = own.Key[:]
	return own
}

func (c *claim) ownerArgument() any {
	if c.owner == nil {
		c.owner = c.Owner[:]
	}
	return c.owner
}

// recurring makes arguments of texts that come again and again, such as the name of
// an endpoint, once each. The zero value knows none.
type recurring struct {
	mu        sync.RWMutex
	arguments map[string]any
}

// mostRecurring bounds how many texts are remembered.
const mostRecurring = 1000

func (r *recurring) argument(text string) any {
	r.mu.RLock()
	known, ok := r.arguments[text]
	r.mu.RUnlock()
	if ok {
		return known
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.arguments == nil {
		r.arguments = make(map[string]any)
	}
	if len(r.arguments) < mostRecurring {
		r.arguments[text] = text
	}
	return text
}

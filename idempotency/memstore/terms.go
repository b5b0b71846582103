package memstore

import (
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// terms are what the claims of one endpoint have in common, so that each entry
// need not hold them. They never change.
type terms struct {
	service, endpoint string
	instance          string
	lease             time.Duration
	retention         time.Duration
	releaseMemory     time.Duration
}

// recentTerms is how many terms a shard remembers. A claim of others gets terms of
// its own.
const recentTerms = 8

// termsOf returns the terms of a claim, under the shard's lock.
func (at *shard) termsOf(c *idempotency.Claim) *terms {
	for _, t := range at.terms {
		if t != nil && t.are(c) {
			return t
		}
	}
	t := &terms{
		service: c.Scope.Service, endpoint: c.Scope.Endpoint, instance: c.Instance,
		lease: c.Lease, retention: c.Retention, releaseMemory: c.ReleaseMemory,
	}
	at.terms[at.oldestTerms%recentTerms] = t
	at.oldestTerms++
	return t
}

func (t *terms) are(c *idempotency.Claim) bool {
	return t.endpoint == c.Scope.Endpoint && t.service == c.Scope.Service && t.instance == c.Instance &&
		t.lease == c.Lease && t.retention == c.Retention && t.releaseMemory == c.ReleaseMemory
}

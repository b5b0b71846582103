package idempotency

// Holding is what a [Store] holds of a key when it is claimed.
type Holding struct {
	// State is Absent, Running, Orphaned, Done or Released, by the store's clock.
	State State
	// Owner, Fence and Attempt of the last claim, and whether it took an orphan over.
	Owner     Owner
	Fence     uint64
	TakenOver bool
	Attempt   int64
	// Fingerprint of its request.
	Fingerprint Fingerprint
}

// ClaimedBy decides what a claim gets that finds h, as [Store] says: the State of
// its [Outcome] and, if that is Acquired, its fence and whether it takes an orphan
// over. Stores are spared the table; what is decided on a server, in a language of
// its own, must come to the same, which package storetest checks.
func (h *Holding) ClaimedBy(c *Claim) (state State, fence uint64, takenOver bool) {
	switch h.State {
	case Done:
		return Done, 0, false
	case Released:
		if c.Attempt < h.Attempt {
			return Superseded, 0, false
		}
		return Acquired, h.Fence + 1, false
	case Running, Orphaned:
		switch {
		case h.Owner == c.Owner: // the answer to an earlier claim was lost
			return Acquired, h.Fence, h.TakenOver
		case h.State == Running:
			return Running, 0, false
		case !c.Takeover || !h.Fingerprint.Matches(c.Fingerprint):
			return Orphaned, 0, false
		}
		return Acquired, h.Fence + 1, true
	default:
		return Acquired, 1, false
	}
}

package wrapper

import (
	"cmp"
	"io"
)

func (r *retriedStream) isChosen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.chosen != nil
}

// sendOrKeep sends a message and keeps it to be sent again, unless the stream is
// handed over, as it is by one that is too much.
func (r *retriedStream) sendOrKeep(m sentMessage) error {
	n, kept := r.keep(m)
	if !kept {
		return r.sendOn(func(c *candidate) error { return c.sendKept(m) })
	}
	return r.awaitSent(n)
}

// keep keeps a message, and has it sent. It tells how many were, and false where this
// one is not.
func (r *retriedStream) keep(m sentMessage) (n int, kept bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chosen != nil {
		return 0, false
	}
	if r.size+len(m.encoded) > r.limit {
		r.handOver = true
		r.chooseAny()
		return 0, false
	}
	r.size += len(m.encoded)
	r.kept = append(r.kept, m)
	r.sendOnAll()
	return r.total(), true
}

// total is how many messages were kept. The stream must be locked.
func (r *retriedStream) total() int { return r.dropped + len(r.kept) }

// forget drops what was kept when it will not be sent again. The stream must be locked.
func (r *retriedStream) forget() {
	if c := r.chosen; c != nil && c.sent == r.total() {
		r.dropped, r.kept = c.sent, nil
	}
}

// sendOnAll has every candidate sent what it was not. The stream must be locked.
func (r *retriedStream) sendOnAll() {
	for _, c := range r.candidates {
		if !c.sending && !c.ended && c.sendErr == nil && c.sent < r.total() {
			c.sending = true
			go c.flush()
		}
	}
}

// awaitSent waits until a candidate that has not failed was sent n messages.
func (r *retriedStream) awaitSent(n int) error {
	var failed error
	err := r.drive(func() bool {
		for _, c := range r.candidates {
			if c.sent >= n && c.err == nil {
				return true
			}
		}
		if c := r.chosen; c != nil && c.err != nil {
			failed = cmp.Or(c.sendErr, io.EOF) // Recv tells why
		} else if c != nil {
			failed = c.sendErr
		}
		return failed != nil
	})
	return cmp.Or(err, failed)
}

// sendOn sends on the candidate to which the stream was handed over, when all that
// was kept is on its way.
func (r *retriedStream) sendOn(send func(*candidate) error) error {
	var c *candidate
	var failed error
	err := r.drive(func() bool {
		c = r.chosen
		if c == nil || c.sending || c.ended {
			return false
		}
		failed = c.sendErr
		c.sending = failed == nil && c.sent == r.total()
		return c.sending || failed != nil
	})
	if err != nil || failed != nil {
		return cmp.Or(err, failed)
	}
	defer r.hasSent(c)
	return r.whyEnded(c.watch(send(c)))
}

// hasSent notes that a Send has ended.
func (r *retriedStream) hasSent(c *candidate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.sending = false
	r.forget()
	r.signal()
}

package wrapper

import (
	"context"
	"errors"
	"io"
	"time"
)

// candidate is a stream that an attempt has opened, and that may come to be the one
// of its caller. What is not said to be constant is guarded by the mu of its
// retriedStream.
type candidate struct {
	*watchedStream // constant, as are

	of     *retriedStream
	cancel context.CancelFunc // of the context it was opened with, where that is its own

	sent      int       // how many messages were
	sending   bool      // somebody is
	receiving bool      // a goroutine is, or has been
	since     time.Time // when somebody began to wait for it; zero: nobody does
	late      time.Time // when it has had its share; zero: never
	overdue   bool      // that was seen
	ended     bool

	first    *firstMessage // that has arrived and was not taken
	answered bool          // it has arrived, or the stream has ended without
	noted    bool          // that was reported
	sendErr  error
	err      error // with which it ended
}

// firstMessage is one as it came.
type firstMessage struct{ body []byte }

// lives tells whether the candidate may yet answer.
func (c *candidate) lives() bool { return !c.ended && !c.answered && c.err == nil }

// flush sends what is kept and was not sent yet, in a goroutine of its own: on mucp
// a Send waits for its peer for as long as the connection lasts.
func (c *candidate) flush() {
	for {
		m, ok := c.next()
		if !ok {
			return
		}
		c.noteSent(c.sendKept(m))
	}
}

func (c *candidate) sendKept(m sentMessage) error {
	if m.last {
		return c.CloseSend()
	}
	return c.of.wire.send(c.Stream, m.encoded)
}

// next is the message to be sent next; false: there is none now.
func (c *candidate) next() (sentMessage, bool) {
	r := c.of
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.ended || c.sendErr != nil || c.sent == r.total() {
		c.sending = false
		r.forget()
		r.signal()
		return sentMessage{}, false
	}
	return r.kept[c.sent-r.dropped], true
}

// noteSent notes how a Send ended. Where it failed, what is received tells why.
func (c *candidate) noteSent(err error) {
	r := c.of
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		c.sent++
	} else {
		c.sendErr = err
		c.startReceiving()
	}
	r.signal()
}

// startReceiving has the first message received. The stream must be locked.
func (c *candidate) startReceiving() {
	if !c.receiving && !c.ended {
		c.receiving = true
		go c.receive()
	}
}

// receive receives the first message, in a goroutine of its own.
func (c *candidate) receive() {
	body, err := c.of.wire.receive(c.Stream)
	r := c.of
	r.mu.Lock()
	defer r.mu.Unlock()
	c.err, c.answered = err, err == nil || errors.Is(err, io.EOF)
	if err == nil {
		c.first = &firstMessage{body}
	}
	if c.answered && r.chosen == nil && !c.ended {
		r.choose(c)
	}
	r.signal()
}

// waitSince notes that somebody waits for the candidate, and for how long it has it
// to itself. The stream must be locked.
func (c *candidate) waitSince(now time.Time, share time.Duration) {
	if !c.since.IsZero() {
		return
	}
	c.since = now
	if share > 0 {
		c.late = now.Add(share)
	}
}

// end ends the candidate, and with it whoever sends or receives on it.
func (c *candidate) end() error {
	if !c.markEnded() {
		return nil
	}
	err := c.of.wire.close(c.Stream)
	c.watchedStream.end(true)
	if c.cancel != nil {
		c.cancel()
	}
	return err
}

// drop ends the candidate beside its caller, who has no use for it.
func (c *candidate) drop() {
	go func() { _ = c.end() }() // nobody reads its error
}

// markEnded keeps the candidate from sending any more. It is false where it has
// ended before.
func (c *candidate) markEnded() bool {
	r := c.of
	r.mu.Lock()
	defer r.mu.Unlock()
	before := c.ended
	c.ended = true
	r.signal()
	return !before
}

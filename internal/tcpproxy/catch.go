package tcpproxy

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// patience only ends tests that have failed.
const patience = time.Minute

// verdict is what becomes of a piece that was caught.
type verdict uint8

const (
	pass verdict = iota
	drop
	lose
)

// Catch holds one piece of data on its way to the server. Exactly one of Pass,
// Drop and LoseReply says what becomes of it; further calls do nothing.
type Catch struct {
	pattern []byte
	caught  chan struct{} // closed when there is something
	lost    chan struct{} // closed when the reply was lost
	verdict chan verdict
	once    sync.Once
}

// Catch holds the next piece of data from any client that contains the
// pattern; every piece contains the empty one. A piece is what the client sent
// at once: short statements are not torn apart. Several catches of one pattern hold one piece each, in the order
// in which they were made.
func (p *Proxy) Catch(pattern string) *Catch {
	c := &Catch{
		pattern: []byte(pattern), caught: make(chan struct{}), lost: make(chan struct{}), verdict: make(chan verdict, 1),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.catches = append(p.catches, c)
	return c
}

// caught returns the catch that a piece falls into, nil for none.
func (p *Proxy) caught(piece []byte) *Catch {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.catches {
		select {
		case <-c.caught:
			continue
		default:
		}
		if bytes.Contains(piece, c.pattern) && !p.closed {
			close(c.caught)
			return c
		}
	}
	return nil
}

// Caught returns a channel that is closed when something is held.
func (c *Catch) Caught() <-chan struct{} { return c.caught }

// Wait returns when something is held, or fails the test.
func (c *Catch) Wait(tb testing.TB) {
	tb.Helper()
	await(tb, c.caught, c.pattern, "sent")
}

// Pass lets the piece go on to the server.
func (c *Catch) Pass() { c.end(pass) }

// Drop cuts the connection: the server never sees the piece.
func (c *Catch) Drop() { c.end(drop) }

// LoseReply lets the piece go on, and cuts the connection when the server
// answers: the client never sees that. WaitLost tells when it has happened.
func (c *Catch) LoseReply() { c.end(lose) }

// WaitLost returns when the reply was lost, or fails the test.
func (c *Catch) WaitLost(tb testing.TB) {
	tb.Helper()
	await(tb, c.lost, c.pattern, "answered")
}

func (c *Catch) end(v verdict) { c.once.Do(func() { c.verdict <- v }) }

func await(tb testing.TB, happened <-chan struct{}, pattern []byte, what string) {
	tb.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-happened:
	case <-timer.C:
		tb.Fatalf("tcpproxy: nothing with %q was %s", pattern, what)
	}
}

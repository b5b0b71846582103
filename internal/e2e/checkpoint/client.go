package checkpoint

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"sync"
)

// question is what a process sends when it comes to a point, and answer what
// lets it go on.
type (
	question struct {
		ID                  uint64
		Process, Point, Key string
	}
	answer struct {
		ID      uint64
		Verdict string
	}
)

// errGone is what Pass returns when the director has ended.
var errGone = errors.New("checkpoint: the director is gone")

// Client is the side of a process. It is safe for concurrent use.
type Client struct {
	process string
	conn    net.Conn

	mu      sync.Mutex
	encoder *gob.Encoder
	last    uint64
	waiting map[uint64]chan<- string // nil once the director is gone
}

// Dial connects a process to the director of its test. The connection lasts as
// long as the process.
func Dial(ctx context.Context, address, process string) (*Client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	c := &Client{process: process, conn: conn, encoder: gob.NewEncoder(conn), waiting: make(map[uint64]chan<- string)}
	go c.read()
	return c, nil
}

// Pass says that the process has come to a point, with a key, and returns when
// it may go on, with what the test has to say to it, usually nothing.
func (c *Client) Pass(ctx context.Context, point, key string) (verdict string, err error) {
	verdicts := make(chan string, 1)
	id, err := c.ask(point, key, verdicts)
	if err != nil {
		return "", err
	}
	select {
	case verdict, ok := <-verdicts:
		if !ok {
			return "", errGone
		}
		return verdict, nil
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, id)
		return "", context.Cause(ctx)
	}
}

func (c *Client) ask(point, key string, verdicts chan<- string) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		return 0, errGone
	}
	c.last++
	c.waiting[c.last] = verdicts
	err := c.encoder.Encode(question{ID: c.last, Process: c.process, Point: point, Key: key})
	if err != nil {
		delete(c.waiting, c.last)
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	return c.last, nil
}

func (c *Client) read() {
	decoder := gob.NewDecoder(c.conn)
	for {
		var a answer
		if err := decoder.Decode(&a); err != nil {
			c.end()
			return
		}
		c.mu.Lock()
		if verdicts, ok := c.waiting[a.ID]; ok {
			verdicts <- a.Verdict
			delete(c.waiting, a.ID)
		}
		c.mu.Unlock()
	}
}

func (c *Client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, verdicts := range c.waiting {
		close(verdicts)
	}
	c.waiting = nil
	_ = c.conn.Close() // it is broken already
}

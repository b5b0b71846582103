package redisstore

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// proxy stands between a client and a server and loses an answer on demand:
// the server has done what it was asked, and the connection breaks.
type proxy struct {
	tb       testing.TB
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu    sync.Mutex
	word  []byte // the request with it loses its answer
	deaf  bool   // and from then on nobody answers
	lost  int
	conns map[net.Conn]struct{}
}

func startProxy(tb testing.TB, server *servertest.Server) *proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{tb: tb, listener: listener, server: server.Address(), conns: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	tb.Cleanup(func() {
		p.close(listener)
		p.mu.Lock()
		for conn := range p.conns {
			p.close(conn)
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "redis://" + p.listener.Addr().String() }

// lose makes the next request that contains word lose its answer. deaf also
// refuses all connections from then on.
func (p *proxy) lose(word string, deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.word, p.deaf = []byte(word), deaf
}

func (p *proxy) answersLost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

func (p *proxy) close(c io.Closer) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		p.tb.Errorf("proxy: %v", err)
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			p.close(client)
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { p.forward(client, server) })
	}
}

// forward takes turns: a request, then its answer, as one connection of
// go-redis does without pipelines. A subscription's connection gets all its
// answers from a goroutine of their own.
func (p *proxy) forward(client, server net.Conn) {
	answers := make(chan bool)
	p.wg.Go(func() {
		defer p.close(client)
		defer p.close(server)
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			select {
			case <-answers: // this one is lost
				return
			default:
			}
			if err != nil {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	defer p.close(client)
	defer p.close(server)
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if p.loses(buffer[:n]) {
			close(answers)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) loses(request []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.word == nil || !bytes.Contains(request, p.word) {
		return false
	}
	p.word = nil
	p.lost++
	if p.deaf {
		p.close(p.listener)
	}
	return true
}

package tcpproxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy forwards connections to a server. It is safe for concurrent use.
type Proxy struct {
	tb       testing.TB
	target   string
	listener net.Listener
	group    sync.WaitGroup

	mu      sync.Mutex
	links   map[*link]struct{}
	catches []*Catch
	thawed  chan struct{} // closed unless frozen
	closed  bool
	ended   chan struct{} // closed with it
	slow    time.Duration // how long a new connection waits
	first   net.Conn      // fills the queue while the proxy is deaf; else nil
}

// Start returns a proxy on a free port, for the server at target. It ends with
// the test.
func Start(tb testing.TB, target string) *Proxy {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("tcpproxy: %v", err)
	}
	p := newProxy(tb, target, listener)
	p.group.Go(p.accept)
	return p
}

func newProxy(tb testing.TB, target string, listener net.Listener) *Proxy {
	p := &Proxy{
		tb: tb, target: target, listener: listener,
		links: make(map[*link]struct{}), thawed: make(chan struct{}), ended: make(chan struct{}),
	}
	close(p.thawed)
	tb.Cleanup(p.close)
	return p
}

// Address returns the host:port to connect to.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut closes all connections; new ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// Refuse refuses new connections from now on, as a server does that is not
// there; those that are open stay.
func (p *Proxy) Refuse() {
	if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		p.tb.Errorf("tcpproxy: %v", err)
	}
}

// Freeze keeps all connections open and forwards nothing, until Thaw. New
// connections are accepted, and freeze too.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
		p.thawed = make(chan struct{})
	default: // it is frozen, and somebody may wait for that channel
	}
}

// Thaw forwards what has come in since Freeze.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.thaw()
}

func (p *Proxy) thaw() {
	select {
	case <-p.thawed:
	default:
		close(p.thawed)
	}
}

// Slow makes each connection wait before its first byte is forwarded: the dial of
// a client that shakes hands takes so much longer.
func (p *Proxy) Slow(wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = wait
}

// Open returns the number of connections.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	close(p.ended)
	p.thaw()
	for _, c := range p.catches {
		c.end(drop)
	}
	for l := range p.links {
		l.cut()
	}
	if p.first != nil {
		_ = p.first.Close() // nothing was sent on it
	}
	p.mu.Unlock()
	p.Refuse()
	p.group.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.group.Go(func() { p.serve(client) })
	}
}

// serve forwards one connection until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	server, err := dialer.DialContext(context.Background(), "tcp", p.target)
	if err != nil { // as if the server itself had refused
		reset(client)
		return
	}
	l := &link{proxy: p, client: client, server: server}
	if !p.add(l) {
		l.cut()
		return
	}
	defer p.remove(l)
	p.wait()
	var both sync.WaitGroup
	both.Go(func() { l.forward(server, client, l.request) })
	both.Go(func() { l.forward(client, server, l.reply) })
	both.Wait()
}

// wait is what Slow asks for, unless the proxy is closed first.
func (p *Proxy) wait() {
	p.mu.Lock()
	wait := p.slow
	p.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ended:
	}
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.links[l] = struct{}{}
	}
	return !p.closed
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) gate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.thawed
}

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	mu    sync.Mutex
	loses *Catch // whose reply is lost next, and the connection cut; may be nil
}

// cut closes both sides, without what may be on the way.
func (l *link) cut() {
	reset(l.client)
	reset(l.server)
}

// reset closes a connection in the way a peer notices at once.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a connection that is closed has nothing to linger for
	}
	_ = c.Close() // twice, if both sides end
}

// forward copies until either side ends; ask decides on each piece.
func (l *link) forward(to, from net.Conn, ask func([]byte) bool) {
	defer l.cut()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			<-l.proxy.gate()
			if !ask(buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// request decides what becomes of a piece on its way to the server.
func (l *link) request(piece []byte) bool {
	c := l.proxy.caught(piece)
	if c == nil {
		return true
	}
	switch <-c.verdict {
	case drop:
		return false
	case lose:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.loses = c
	case pass:
	}
	return true
}

// reply decides what becomes of a piece on its way to the client.
func (l *link) reply([]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loses == nil {
		return true
	}
	close(l.loses.lost)
	return false
}

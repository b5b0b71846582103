package tcpproxy

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// StartDeaf returns a proxy that drops every SYN until Hear, as a host does that
// is down or behind a firewall: a dial is neither accepted nor refused. Its queue
// of connections is full.
func StartDeaf(tb testing.TB, target string) *Proxy {
	tb.Helper()
	listener, err := listenWithoutQueue()
	if err != nil {
		tb.Fatalf("tcpproxy: listen without a queue: %v", err)
	}
	p := newProxy(tb, target, listener)
	dialer := net.Dialer{Timeout: patience}
	first, err := dialer.DialContext(tb.Context(), "tcp", p.Address()) // Linux queues one in any case
	if err != nil {
		tb.Fatalf("tcpproxy: fill the queue: %v", err)
	}
	p.first = first
	return p
}

// Hear ends the deafness: the proxy accepts. A client that dials notices when it
// sends its next SYN, a second after the first.
func (p *Proxy) Hear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil || p.closed {
		return
	}
	_ = p.first.Close() // nothing was sent on it
	p.first = nil
	p.group.Go(p.accept)
}

func listenWithoutQueue() (net.Listener, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer func() { _ = file.Close() }() // net.FileListener has a copy
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	if err := syscall.Listen(fd, 0); err != nil {
		return nil, err
	}
	return net.FileListener(file)
}

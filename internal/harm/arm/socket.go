//go:build linux

package arm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// port is a port of 127.0.0.1 that is ours until it is closed: a socket is bound
// to it. Unless it listens, a dial is refused, nobody else is given the port,
// and a server that sets SO_REUSEADDR, as Go's do, can listen on it again and again.
type port struct {
	fd      int
	number  int
	queued  net.Conn
	address string
}

// reserve returns a port.
func reserve() (*port, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("arm: reserve a port: %w", err)
	}
	p := &port{fd: fd}
	if err := p.bind(); err != nil {
		return nil, fmt.Errorf("arm: reserve a port: %w", errors.Join(err, p.close()))
	}
	return p, nil
}

func (p *port) bind() error {
	if err := syscall.SetsockoptInt(p.fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := syscall.Bind(p.fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	name, err := syscall.Getsockname(p.fd)
	if err != nil {
		return err
	}
	v4, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return fmt.Errorf("unexpected socket address %T", name)
	}
	p.number = v4.Port
	p.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(v4.Port))
	return nil
}

// vanish makes the port look like a host that has gone: SYNs are dropped. Linux
// does that when the queue of a listener is full that nobody accepts from.
func (p *port) vanish(ctx context.Context) error {
	if err := syscall.Listen(p.fd, 0); err != nil {
		return fmt.Errorf("arm: vanish: %w", err)
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	var err error
	if p.queued, err = dialer.DialContext(ctx, "tcp", p.address); err != nil {
		return fmt.Errorf("arm: vanish: fill the queue: %w", err)
	}
	return p.checkVanished(ctx)
}

func (p *port) checkVanished(ctx context.Context) error {
	dialer := net.Dialer{Timeout: 100 * time.Millisecond}
	conn, err := dialer.DialContext(ctx, "tcp", p.address)
	if err == nil {
		return errors.Join(errors.New("arm: vanish: it still takes connections"), conn.Close())
	}
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		return fmt.Errorf("arm: vanish: a dial fails at once: %w", err)
	}
	return nil
}

// close gives the port back.
func (p *port) close() error {
	var err error
	if p.queued != nil {
		err = p.queued.Close()
	}
	return errors.Join(err, syscall.Close(p.fd))
}

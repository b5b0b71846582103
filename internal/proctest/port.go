//go:build linux

package proctest

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"
)

// ReservePort returns a port of 127.0.0.1 that belongs to the test until it
// ends: a socket is bound to it but does not listen. So who dials it is
// refused, no other process and no outgoing connection is given it, and a
// server that sets SO_REUSEADDR, as servers do, can listen on it again and
// again.
func ReservePort(tb testing.TB) int {
	tb.Helper()
	fd, port, err := reserve()
	if err != nil {
		tb.Fatalf("proctest: reserve a port: %v", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Close(fd); err != nil {
			tb.Errorf("proctest: give back port %d: %v", port, err)
		}
	})
	return port
}

// Address returns port's host:port on the loopback interface.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func reserve() (fd, port int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, err
	}
	if port, err = bind(fd); err != nil {
		return 0, 0, errors.Join(err, syscall.Close(fd))
	}
	return fd, port, nil
}

func bind(fd int) (port int, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	address, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("unexpected socket address %T", name)
	}
	return address.Port, nil
}

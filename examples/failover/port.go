package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// Ports are taken from below those that Linux gives to outgoing connections
// (32768 and up): otherwise one of the callers' own connections could take an
// instance's port while it is down, or connect to itself there.
const lowestPort, highestPort = 20000, 32000

// freePorts returns addresses on loopback at which nobody listens.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var listen net.ListenConfig
	first := os.Getpid() * 61 // two drivers at once begin at different ports
	addresses := make([]string, 0, n)
	listeners := make([]net.Listener, 0, n)
	for tries := 0; len(addresses) < n && tries < highestPort-lowestPort; tries++ {
		port := lowestPort + (first+tries)%(highestPort-lowestPort)
		listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue // somebody's
		}
		listeners = append(listeners, listener)
		addresses = append(addresses, listener.Addr().String())
	}
	var err error
	for _, listener := range listeners {
		err = errors.Join(err, listener.Close())
	}
	if len(addresses) < n {
		err = errors.Join(err, fmt.Errorf("no %d free ports from %d to %d on 127.0.0.1", n, lowestPort, highestPort))
	}
	return addresses, err
}

package main

import (
	"net"
	"path/filepath"
)

// consulPorts is how many addresses an agent needs.
const consulPorts = 4

// newConsul returns a Consul agent that keeps everything in memory and answers
// at the first of the addresses.
func newConsul(program, dir string, addresses []string) (*process, error) {
	ports := make([]string, consulPorts)
	for i := range ports {
		var err error
		if _, ports[i], err = net.SplitHostPort(addresses[i]); err != nil {
			return nil, err
		}
	}
	return &process{
		name:    "consul",
		program: program,
		args: []string{
			"agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-log-level", "warn",
			"-http-port", ports[0], "-server-port", ports[1], "-serf-lan-port", ports[2], "-serf-wan-port", ports[3],
			"-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1",
		},
		logPath: filepath.Join(dir, "consul.log"),
		ready:   hasLeader(addresses[0]),
	}, nil
}

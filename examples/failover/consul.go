package main

import (
	"context"
	"net"
	"path/filepath"
)

// startConsul starts a Consul agent of its own, which keeps everything in
// memory, and returns its address.
func startConsul(ctx context.Context, program, dir string) (*process, string, error) {
	addresses, err := freePorts(ctx, 4)
	if err != nil {
		return nil, "", err
	}
	ports := make([]string, len(addresses))
	for i, address := range addresses {
		if _, ports[i], err = net.SplitHostPort(address); err != nil {
			return nil, "", err
		}
	}
	agent := &process{
		name:    "consul",
		program: program,
		args: []string{
			"agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-log-level", "warn",
			"-http-port", ports[0], "-server-port", ports[1], "-serf-lan-port", ports[2], "-serf-wan-port", ports[3],
			"-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1",
		},
		logPath: filepath.Join(dir, "consul.log"),
		ready:   hasLeader(addresses[0]),
	}
	return agent, addresses[0], agent.start(ctx)
}

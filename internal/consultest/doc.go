// Package consultest starts a real Consul agent for tests. It runs in
// development mode on free ports of 127.0.0.1, is owned by the test that
// started it, and can be killed, frozen and restarted on the same ports:
//
//	agent := consultest.Start(t)
//	reg := consul.NewRegistry(registry.Addrs(agent.Address()))
//	agent.Kill()
//	agent.Restart()
//
// Only for tests, and only on Linux. The agent keeps its catalogue in memory,
// so a restarted one has forgotten every registration. Consul takes a service
// whose check is critical out of the catalogue no sooner than a minute later,
// and that minute cannot be shortened.
//
// The program is the one that make deps builds, or that the environment
// variable CONSUL_BIN names; without either the test fails.
package consultest

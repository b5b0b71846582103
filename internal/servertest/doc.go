// Package servertest starts real database servers for tests: Redis, alone or
// as a cluster, MariaDB and PostgreSQL. Each runs on a free port of 127.0.0.1
// with its data in a temporary folder, is owned by the test that started it,
// and can be killed, frozen and restarted on the same port and data:
//
//	redis := servertest.StartRedis(t, "--appendonly", "yes")
//	client := dial(redis.URL())
//	redis.Kill()
//	redis.Restart()
//
// Only for tests, and only on Linux: the servers have no passwords. A server
// that is not installed fails the test; make deps installs it.
package servertest

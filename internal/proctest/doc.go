// Package proctest runs servers (Redis, MariaDB, PostgreSQL, Consul) as
// processes that one test owns, so that the test can kill, freeze and restart
// them and see what their clients see.
//
// Only for tests, and only on Linux: the processes are told to die with the
// test binary, and freezing and killing reach their children too. Everything
// listens on 127.0.0.1.
package proctest

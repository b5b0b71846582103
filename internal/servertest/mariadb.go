//go:build linux

package servertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/oncemore-dev/oncemore/internal/proctest"
)

// mariadbDatabase is the one database that a test's MariaDB has.
const mariadbDatabase = "oncemore"

// StartMariaDB starts a MariaDB with an empty database. Arguments are
// mariadbd's and come after its own.
func StartMariaDB(tb testing.TB, args ...string) *Server {
	tb.Helper()
	dir := tempDir(tb, "mariadb", nil)
	data := filepath.Join(dir, "data")
	install := []string{
		"--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal", "--skip-test-db",
	}
	asRoot := rootMayServe()
	run(tb, exec.Command(program(tb, "mariadb-install-db"), append(install, asRoot...)...))

	port := proctest.ReservePort(tb)
	address, client := proctest.Address(port), program(tb, "mariadb")
	process := proctest.Start(tb, proctest.Command{
		Name: "MariaDB at " + address,
		Path: program(tb, "mariadbd"),
		Args: append(append([]string{
			"--no-defaults", "--datadir=" + data, "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port),
			"--socket=" + filepath.Join(dir, "socket"), "--pid-file=" + filepath.Join(dir, "pid"),
			"--skip-name-resolve", "--max-connections=1000",
		}, asRoot...), args...),
		Ready: func(ctx context.Context) error { return createDatabase(ctx, client, port) },
	})
	return &Server{
		Process: process,
		address: address,
		url:     "mysql://root@" + address + "/" + mariadbDatabase,
		dsn:     "root@tcp(" + address + ")/" + mariadbDatabase + "?parseTime=true",
	}
}

// rootMayServe is what mariadbd wants to hear before it runs as root.
func rootMayServe() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// createDatabase makes sure that the database is there, which also tells that
// the server serves. MariaDB's own client does it, so that no test needs a
// driver for the sake of this package.
func createDatabase(ctx context.Context, client string, port int) error {
	output, err := exec.CommandContext(ctx, client, "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(port),
		"--protocol=tcp", "--user=root", "--execute=CREATE DATABASE IF NOT EXISTS "+mariadbDatabase).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

//go:build linux

package servertest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"

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
	config := mariadbConfig(port)
	process := proctest.Start(tb, proctest.Command{
		Name: "MariaDB at " + config.Addr,
		Path: program(tb, "mariadbd"),
		Args: append(append([]string{
			"--no-defaults", "--datadir=" + data, "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port),
			"--socket=" + filepath.Join(dir, "socket"), "--pid-file=" + filepath.Join(dir, "pid"),
			"--skip-name-resolve", "--max-connections=1000",
		}, asRoot...), args...),
		Ready: func(ctx context.Context) error { return createDatabase(ctx, config.Clone()) },
	})
	return &Server{
		Process: process,
		address: config.Addr,
		url:     "mysql://root@" + config.Addr + "/" + mariadbDatabase,
		dsn:     config.FormatDSN(),
	}
}

func mariadbConfig(port int) *mysql.Config {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr = "root", "tcp", proctest.Address(port)
	config.DBName, config.ParseTime = mariadbDatabase, true
	return config
}

// rootMayServe is what mariadbd wants to hear before it runs as root.
func rootMayServe() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// createDatabase makes sure that the database is there, which also tells that
// the server serves.
func createDatabase(ctx context.Context, config *mysql.Config) (err error) {
	config.DBName, config.Logger = "", new(mysql.NopLogger)
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+mariadbDatabase)
	return err
}
